"""A package that imports its names when they are asked for has just those that it says."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.children import finished

LAZY = ["mdsgen.media", "mdsgen.runtime"]


@pytest.mark.parametrize("package", LAZY)
def test_every_name_is_where_type_checkers_are_told_that_it_is(package: str) -> None:
    module = import_module(package)
    (told,) = [
        node for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body if isinstance(node, ast.If)
    ]
    places = {
        name.name: statement.module
        for statement in told.body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    }
    assert sorted(places) == sorted(module.__all__)
    for name, place in places.items():
        assert getattr(module, name) is getattr(import_module(str(place)), name)


@pytest.mark.parametrize("package", LAZY)
def test_no_module_takes_the_place_of_a_name(package: str) -> None:
    module = import_module(package)
    assert not {path.stem for path in Path(str(module.__file__)).parent.glob("*.py")} & set(module.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'mdsgen\.media' has no attribute 'absent'"):
        _ = import_module("mdsgen.media").absent


def test_a_package_alone_imports_nothing() -> None:
    script = "import sys; before = set(sys.modules); import mdsgen.media; print(*set(sys.modules) - before)"
    loaded = {name.split(".")[0] for name in finished([sys.executable, "-c", script]).stdout.split()}
    assert not loaded & {"av", "numpy"}
