"""Names on the hub: their form, and what huggingface_hub fetches by them from a server on this machine."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsgen import Pipeline
from mdsgen.bundle import Bundle
from mdsgen.cli import run
from mdsgen.errors import BundleError, HubError, SettingsError
from mdsgen.hub import HubName, fetch, fetch_first, is_hub_name, locate
from tests.children import finished
from tests.fake_hub import COMMIT, OLDER, FakeHub, asked, environment, fake_hub
from tests.media.conftest import Renderer
from tests.runner import Runner


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """A hub with the repository ``me/cavp``, of two commits, that this process asks."""
    with fake_hub() as opened, asked(opened, tmp_path / "cache"):
        for commit, content in ((COMMIT, b"new " * 5000), (OLDER, b"old " * 5000)):
            folder = tmp_path / commit
            (folder / "sub").mkdir(parents=True)
            (folder / "sub" / "cavp.ckpt").write_bytes(content)
            opened.add("me/cavp", folder, commit)
        yield opened


# Names


@pytest.mark.parametrize(
    ("text", "repository", "path", "revision"),
    [
        ("hf://me/model", "me/model", "", None),
        ("hf://me/model@v1.0", "me/model", "", "v1.0"),
        ("hf://me/model/weights.pt", "me/model", "weights.pt", None),
        ("hf://cvssp/audioldm-s-full-v2/sub/a.ckpt@refs/pr/3", "cvssp/audioldm-s-full-v2", "sub/a.ckpt", "refs/pr/3"),
    ],
)
def test_a_name_has_repository_path_and_revision(text: str, repository: str, path: str, revision: str | None) -> None:
    assert HubName.parse(text) == HubName(repository, path, revision)
    assert str(HubName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["hf://", "hf://me", "hf://me/m/../../etc/passwd", "hf://me/m//a", "hf://me/m@", "hf://me/m@a@b", "hf://m e/m"],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected hf://owner/name"):
        HubName.parse(text)
    assert "expected hf://owner/name" in Runner().invoke(run.main, ["a.mp4", "--bundle", text]).stderr


def test_paths_are_no_names() -> None:
    assert not is_hub_name("hf/me/model")
    assert not is_hub_name(Path("hf://me/model"))
    assert locate("here.ckpt").origin == {}


# Files


def test_a_file_is_fetched_once_and_says_its_commit(hub: FakeHub) -> None:
    for _ in range(2):
        found = locate("hf://me/cavp/sub/cavp.ckpt")
        assert found.path.read_bytes() == b"new " * 5000
        assert found.origin == {"source": f"hf://me/cavp/sub/cavp.ckpt@{COMMIT}"}
    assert [line.split()[0] for line in hub.log].count("GET") == 1


def test_a_revision_chooses_the_commit(hub: FakeHub) -> None:
    assert locate(f"hf://me/cavp/sub/cavp.ckpt@{OLDER}").path.read_bytes() == b"old " * 5000
    with pytest.raises(HubError, match="cannot be fetched"):
        locate(f"hf://me/cavp/sub/cavp.ckpt@{'c3' * 20}")


def test_a_download_that_breaks_off_goes_on_where_it_was(hub: FakeHub) -> None:
    hub.broken.add("sub/cavp.ckpt")
    assert locate("hf://me/cavp/sub/cavp.ckpt").path.read_bytes() == b"new " * 5000
    assert hub.log[-1] == "GET me/cavp main sub/cavp.ckpt from 10000"


def test_without_a_network_only_what_is_here(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = locate("hf://me/cavp/sub/cavp.ckpt")
    hub.log.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert locate("hf://me/cavp/sub/cavp.ckpt") == before
    with pytest.raises(HubError, match=r"hf://me/other/a\.ckpt cannot be fetched"):
        locate("hf://me/other/a.ckpt")
    assert hub.log == []


def test_a_changed_bit_in_the_cache_is_noticed(hub: FakeHub) -> None:
    path = locate("hf://me/cavp/sub/cavp.ckpt").path.resolve()
    path.write_bytes(b"New " + path.read_bytes()[4:])
    with pytest.raises(HubError, match="is damaged: expected SHA-256"):
        locate("hf://me/cavp/sub/cavp.ckpt")


def test_the_first_of_several_files_that_is_there(hub: FakeHub) -> None:
    name = HubName.parse("hf://me/cavp")
    assert fetch_first(name, ["cavp.safetensors", "sub/cavp.ckpt"]).path.name == "cavp.ckpt"
    with pytest.raises(HubError, match=r"b\.pt cannot be fetched"):
        fetch_first(name, ["a.pt", "b.pt"])


def test_a_repository_is_no_file(hub: FakeHub) -> None:
    with pytest.raises(HubError, match="is a whole repository: name a file of it"):
        locate("hf://me/cavp")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=re.escape("pip install 'mdsgen[hub]'")):
        fetch(HubName("me/cavp", "a"))


# Bundles


def test_a_bundle_is_files_of_its_own_of_one_commit(hub: FakeHub, bundle_path: Path) -> None:
    hub.add("me/bundle", bundle_path)
    bundle = Bundle.open("hf://me/bundle")
    assert (bundle.source, bundle.sha256) == (f"hf://me/bundle@{COMMIT}", Bundle.open(bundle_path).sha256)
    assert not [path for path in bundle.folder.iterdir() if path.is_symlink()]
    assert bundle.folder.is_relative_to(bundle.folder.parents[3] / "mdsgen")
    before = len(hub.log)
    assert Bundle.open(f"hf://me/bundle@{COMMIT}").folder == bundle.folder
    assert len(hub.log) == before


def test_a_bundle_may_lie_in_a_folder_of_its_repository(hub: FakeHub, bundle_path: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_path, tmp_path / "repository" / "fp32")
    hub.add("me/bundles", tmp_path / "repository")
    with Pipeline.open("hf://me/bundles/fp32", "onnxruntime") as pipeline:
        assert pipeline.bundle.source == f"hf://me/bundles/fp32@{COMMIT}"


def test_a_manifest_that_is_none_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / COMMIT / "manifest.json").write_text('{"schema": 99}')
    with pytest.raises(BundleError, match=r"its manifest\.json cannot be read"):
        Bundle.open("hf://me/cavp")


def test_the_command_says_what_the_sound_is_of_and_needs_no_network_again(
    bundle_path: Path, film: Renderer, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    words = [str(film(frames=4, rate=4)), "--steps", "1", "--engine", "onnxruntime", "--json", "--bundle"]
    command = [sys.executable, "-m", "mdsgen.cli.run", *words, "hf://me/bundle"]
    with fake_hub() as hub:
        hub.add("me/bundle", bundle_path)
        first = finished(command, env=environment(hub, tmp_path / "cache"))
    offline = finished(command, env=environment(hub, tmp_path / "cache", HF_HUB_OFFLINE="1"))
    for result in (first, offline):
        assert (result.returncode, result.stderr) == (0, "")
        document = json.loads(result.stdout)
        assert document["bundle"] == f"hf://me/bundle@{COMMIT}"
        assert document["bundle_sha256"] == Bundle.open(bundle_path).sha256
