"""docs/architecture.md draws every package and every import, and names files that exist."""

from __future__ import annotations

import re

import pytest

from tests.imports import PACKAGES, ROOT, imports

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ARROWS = set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE))


def reached(start: str) -> set[str]:
    """Where the drawing's arrows lead to."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        here = ahead.pop()
        further = {end for begin, end in ARROWS if begin == here} - found
        found |= further
        ahead += further
    return found


def test_all_packages_are_drawn_and_told_of() -> None:
    drawn = {name for arrow in ARROWS for name in arrow}
    assert drawn == {*PACKAGES, "ground"}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == {*PACKAGES, "ground"}


def test_every_arrow_is_an_import() -> None:
    assert imports() >= ARROWS


def test_every_import_follows_the_arrows() -> None:
    astray = sorted((importer, imported) for importer, imported in imports() if imported not in reached(importer))
    assert not astray


def test_there_is_no_circle() -> None:
    assert not [package for package in PACKAGES if package in reached(package)]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:mdsgen|export|engines|kernels)/[\w/.]*)`", PAGE))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()
