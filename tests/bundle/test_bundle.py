"""A bundle is whole or refused, and its making leaves a whole bundle or nothing."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdsgen.bundle import GRAPHS, Bundle, Manifest, create_bundle, describe_file, write_manifest
from mdsgen.errors import BundleError
from tests.bundles import fill_bundle, make_bundle

FILES = [*(f"{name}.onnx" for name in GRAPHS), "shared.bin"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(target: Path, then: Callable[[Path], object] = Path.exists, *, replace: bool = False) -> None:
    """Make a bundle at ``target``; ``then`` happens to the filled folder before it gets its name."""
    with create_bundle(target, replace=replace) as folder:
        fill_bundle(folder)
        then(folder)


# Opening


def test_an_opened_bundle_gives_its_manifest_and_paths(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "b")
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.manifest == manifest
    assert [bundle.path(name) for name in GRAPHS] == [tmp_path / "b" / f"{name}.onnx" for name in GRAPHS]


def test_an_unknown_graph_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="'upscaler' is unknown: expected one of video_encoder"):
        Bundle.open(tmp_path / "b").path("upscaler")


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_is_refused_with_what_was_expected_and_found(file: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    path = tmp_path / "b" / file
    content = bytearray(path.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(BundleError, match=f"{file} is damaged: expected SHA-256 {expected}, found {found}"):
        Bundle.open(tmp_path / "b")
    Bundle.open(tmp_path / "b", verify=False)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_refused(file: str, verify: bool, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    path = tmp_path / "b" / file
    length = path.stat().st_size
    os.truncate(path, length - 1)
    with pytest.raises(BundleError, match=f"{file} is damaged: expected {length} bytes, found {length - 1}"):
        Bundle.open(tmp_path / "b", verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_refused(file: str, verify: bool, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / file).unlink()
    with pytest.raises(BundleError, match=f"{file} is missing"):
        Bundle.open(tmp_path / "b", verify=verify)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b"[]", "must hold an object, not list"),
        (b"{}", "'schema' is missing"),
        (b'{"schema": 7}', "schema 7 is unknown"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(BundleError, match=message):
        Bundle.open(tmp_path)


def test_what_is_not_a_bundle_is_refused_with_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    for name, found in (("nowhere", "nothing"), ("file", "a file"), (".", "a folder without it")):
        with pytest.raises(BundleError, match=rf"expected a bundle, a folder with manifest\.json; found {found}"):
            Bundle.open(tmp_path / name)


def test_a_file_is_described_over_many_chunks(tmp_path: Path) -> None:
    content = os.urandom(2_500_000)
    (tmp_path / "weights.bin").write_bytes(content)
    part = describe_file(tmp_path / "weights.bin")
    assert (part.file, part.bytes) == ("weights.bin", 2_500_000)
    assert part.sha256 == hashlib.sha256(content).hexdigest()


# Making


def test_a_made_bundle_opens_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    with create_bundle(tmp_path / "deep" / "b") as folder:
        assert folder.parent == tmp_path / "deep"
        manifest = fill_bundle(folder)
        assert not (tmp_path / "deep" / "b").exists()
    assert names(tmp_path / "deep") == ["b"]
    assert Bundle.open(tmp_path / "deep" / "b").manifest == manifest


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_making_leaves_nothing(interruption: type[BaseException], tmp_path: Path) -> None:
    def interrupt(folder: Path) -> None:
        raise interruption

    with pytest.raises(interruption):
        make(tmp_path / "deep" / "b", interrupt)
    assert names(tmp_path) == []


def test_a_damaged_bundle_is_never_given_its_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"vocoder\.onnx is damaged"):
        make(tmp_path / "b", lambda folder: (folder / "vocoder.onnx").write_bytes(b"late change"))
    assert names(tmp_path) == []


def test_a_bundle_without_a_manifest_is_never_given_its_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        make(tmp_path / "b", lambda folder: (folder / "manifest.json").unlink())
    assert names(tmp_path) == []


def test_an_existing_bundle_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match="exists: choose another place, or ask to replace it"):
        make(tmp_path / "b", lambda folder: pytest.fail("nothing should be made"))
    assert Bundle.open(tmp_path / "b").manifest == old


def test_replacing_leaves_the_new_bundle_alone(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "old.txt").write_text("old")
    with create_bundle(tmp_path / "b", replace=True) as folder:
        fill_bundle(folder)
        assert (tmp_path / "b" / "old.txt").exists()
    Bundle.open(tmp_path / "b")
    assert names(tmp_path) == ["b"]
    assert "old.txt" not in names(tmp_path / "b")


def test_a_replacing_that_is_interrupted_keeps_the_old_bundle(tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "b")

    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "b", interrupt, replace=True)
    assert Bundle.open(tmp_path / "b").manifest == old
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("manifest", [None, "{}", "not json", '{"name": "a web app"}'])
def test_a_folder_that_is_not_a_bundle_is_never_touched(manifest: str | None, replace: bool, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    if manifest is not None:
        (tmp_path / "photos" / "manifest.json").write_text(manifest)
    before = names(tmp_path / "photos")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        make(tmp_path / "photos", lambda folder: pytest.fail("nothing should be made"), replace=replace)
    assert names(tmp_path / "photos") == before


def test_a_file_in_the_way_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("hello")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        make(tmp_path / "b", lambda folder: pytest.fail("nothing should be made"), replace=True)
    assert (tmp_path / "b").read_text() == "hello"


def test_a_folder_that_appears_meanwhile_is_never_touched(tmp_path: Path) -> None:
    def save_a_photo(folder: Path) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "cat.jpg").write_text("cat")

    with pytest.raises(BundleError, match="exists and is not a bundle"):
        make(tmp_path / "b", save_a_photo)
    assert names(tmp_path) == ["b"]
    assert names(tmp_path / "b") == ["cat.jpg"]


def test_an_empty_folder_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    make(tmp_path / "b")
    assert Bundle.open(tmp_path / "b").manifest.graphs.keys() == set(GRAPHS)


def test_a_link_keeps_pointing_at_the_new_bundle(tmp_path: Path) -> None:
    make_bundle(tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    make(tmp_path / "current", lambda folder: (folder / "new.txt").write_text("new"), replace=True)
    assert (tmp_path / "current").is_symlink()
    assert (tmp_path / "current" / "new.txt").exists()


def test_a_value_without_a_json_form_is_refused(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "b")
    for value in (float("nan"), object()):
        odd = Manifest(**{**vars(manifest), "model": {"loss": value}})
        with pytest.raises(BundleError, match="a value that JSON has no word for"):
            write_manifest(tmp_path / "b", odd)
    Bundle.open(tmp_path / "b")


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_bundle(tmp_path / "b")
    before = names(tmp_path / "b")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            write_manifest(tmp_path / "b", dataclasses.replace(manifest, licence="other"))
    assert Bundle.open(tmp_path / "b").manifest == manifest
    assert names(tmp_path / "b") == before
    write_manifest(tmp_path / "b", dataclasses.replace(manifest, licence="other"))
    assert Bundle.open(tmp_path / "b").manifest.licence == "other"
    assert names(tmp_path / "b") == before


# Hostile manifests


@pytest.mark.parametrize(
    "edit",
    [
        lambda values: values.update(schema=10**400),
        lambda values: values["graphs"]["denoiser"].update(bytes=10**400),
        lambda values: values["graphs"]["denoiser"].update(file="a" * 300),
        lambda values: values["graphs"]["denoiser"].update(file="\u00e4" * 150),
        lambda values: values["graphs"]["denoiser"]["inputs"][0].update(shape=[10**30]),
        lambda values: values["sampling"].update(steps=10**400),
        lambda values: values.update(precision="p" * 1_000_000),
        lambda values: values["graphs"]["denoiser"].update(sha256="f" * 1_000_000),
        lambda values: values["graphs"]["denoiser"]["inputs"].extend([{"name": "n" * 1_000_000}]),
        lambda values: values["graphs"].update({"g" * 1_000_000: {}}),
    ],
)
def test_huge_values_are_refused_in_a_short_line(tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    make_bundle(tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))
    with pytest.raises(BundleError) as caught:
        Bundle.open(tmp_path / "b")
    assert len(str(caught.value)) < 1100
