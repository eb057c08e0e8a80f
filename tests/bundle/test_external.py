"""A graph may refer to the weight files that the manifest names for it, and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdsgen.bundle import DENOISER, GRAPHS, VIDEO_ENCODER, Bundle
from mdsgen.bundle.external import external_files
from mdsgen.errors import BundleError
from tests.altered import altered
from tests.bundles import field, make_bundle, onnx_file

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_what_a_real_graph_refers_to() -> None:
    assert external_files(FIXTURES / "external.onnx") == {"external.bin"}
    assert external_files(FIXTURES / "affine.onnx") == set()


@pytest.mark.parametrize("graph", GRAPHS)
def test_what_a_bundle_s_graphs_refer_to(bundle_path: Path, graph: str) -> None:
    assert external_files(bundle_path / f"{graph}.onnx") == {f"{graph}.weights"}


ENTRY = field(13, field(1, b"location") + field(2, b"weights"))
TENSORS = {
    "an initializer": field(7, field(5, ENTRY)),
    "a node's tensor": field(7, field(1, field(5, field(5, ENTRY)))),
    "a node's tensors": field(7, field(1, field(5, field(10, ENTRY)))),
    "a branch": field(7, field(1, field(5, field(6, field(5, ENTRY))))),
    "a sparse tensor": field(7, field(15, field(2, ENTRY))),
    "a function": field(25, field(7, field(5, field(5, ENTRY)))),
    "a training graph": field(20, field(2, field(5, ENTRY))),
    "an entry whose value comes first": field(7, field(5, field(13, field(2, b"weights") + field(1, b"location")))),
}


@pytest.mark.parametrize("place", TENSORS)
def test_wherever_a_tensor_stands_its_location_is_found(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\x08\x08" + field(2, b"maker") + TENSORS[place])
    assert external_files(path) == {"weights"}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("location", ["other.bin", "/etc/passwd", "../b/shared.bin", "*/_ORT_MEM_ADDR_/*", ""])
def test_a_location_that_the_manifest_does_not_name_is_refused(tmp_path: Path, location: str, verify: bool) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "other.bin").write_bytes(b"weights")
    damaged = altered(tmp_path / "b", tmp_path / "c", DENOISER, {"denoiser.onnx": onnx_file("", location)})
    with pytest.raises(BundleError, match="which the manifest does not name as its weights"):
        Bundle.open(damaged, verify=verify)


def test_another_graph_s_weights_are_not_its_own(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    files = {"video_encoder.onnx": onnx_file("", "shared.bin")}
    damaged = altered(tmp_path / "b", tmp_path / "c", VIDEO_ENCODER, files)
    with pytest.raises(BundleError, match=r"video_encoder\.onnx refers to 'shared\.bin'"):
        Bundle.open(damaged)


WHOLE = onnx_file("words", "weights")
BROKEN = {
    "empty": b"",
    "cut": WHOLE[:-3],
    "no number": b"\xff" * 20,
    "nothing": b"no graph at all",
    "deep": ENTRY,
}
for _ in range(150):
    BROKEN["deep"] = field(1, field(5, field(6, BROKEN["deep"])))
BROKEN["deep"] = field(7, BROKEN["deep"])


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(BundleError, match="is no ONNX file"):
        external_files(path)


def test_inline_weights_cost_nothing(tmp_path: Path) -> None:
    """A gigabyte that takes no room on the disk, and is not read."""
    size = 1 << 30
    inner = b"\x4a\x80\x80\x80\x80\x04"  # raw_data, of so many bytes
    tensor = b"\x2a\x86\x80\x80\x80\x04" + inner
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\x3a\x8c\x80\x80\x80\x04" + tensor)
    os.truncate(path, path.stat().st_size + size)
    assert external_files(path) == set()
