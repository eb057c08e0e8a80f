"""What is used where nobody names a bundle: the one of the environment, or the packaged demo model."""

from __future__ import annotations

from pathlib import Path

import pytest

import mdsgen
from mdsgen.bundle import default as module
from mdsgen.bundle import default_bundle
from mdsgen.errors import BundleError
from tests.bundles import make_bundle


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo model would be packaged; there is none yet."""
    monkeypatch.delenv("MDSGEN_BUNDLE", raising=False)
    monkeypatch.setattr(module, "DEMO_FOLDER", tmp_path / "demo")
    return tmp_path / "demo"


def test_the_demo_model_lies_in_the_package() -> None:
    assert Path(mdsgen.__file__).parent / "demo" == module.DEMO_FOLDER


def test_the_packaged_model_is_the_default(packaged: Path) -> None:
    make_bundle(packaged)
    assert default_bundle() == packaged


def test_the_environment_names_another(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(packaged)
    make_bundle(tmp_path / "mine")
    monkeypatch.setenv("MDSGEN_BUNDLE", str(tmp_path / "mine"))
    assert default_bundle() == tmp_path / "mine"
    monkeypatch.setenv("MDSGEN_BUNDLE", "")
    assert default_bundle() == packaged


def test_a_name_that_leads_nowhere_is_not_replaced_by_the_demo(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(packaged)
    monkeypatch.setenv("MDSGEN_BUNDLE", "nowhere")
    with pytest.raises(BundleError, match=r"\$MDSGEN_BUNDLE is nowhere: expected the folder of a bundle there"):
        default_bundle()


def test_an_installation_without_a_demo_model_says_what_to_do(packaged: Path) -> None:
    for _ in range(2):
        with pytest.raises(BundleError, match=r"no demo model: name one, in \$MDSGEN_BUNDLE or with --bundle"):
            default_bundle()
        packaged.mkdir(exist_ok=True)  # an empty folder is none either
