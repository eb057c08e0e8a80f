"""A dataset is whole shards, read as one; nothing half-written, nothing of another origin."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import DatasetError
from mdsgen.geometry import PAPER
from mdsgen.training.shards import Shards, describe, sha256, shard_path, write_shard
from tests.geometries import BRISK


def numbers(start: int, count: int) -> dict[str, np.ndarray]:
    return {"value": np.arange(start, start + count), "square": np.arange(start, start + count)[:, None] ** 2}


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(max_examples=20)
def test_clips_are_numbered_across_all_shards(lengths: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, start = tmp_path_factory.mktemp("shards"), 0
    for index, length in enumerate(lengths):
        write_shard(folder, index, numbers(start, length))
        start += length
    shards = Shards(folder)
    assert len(shards) == sum(lengths)
    assert shards.fields == ("square", "value")
    assert [int(shards.clip("value", i)) for i in range(len(shards))] == list(range(len(shards)))
    assert shards.batch("square", [len(shards) - 1, 0]).tolist() == [[(len(shards) - 1) ** 2], [0]]


@pytest.mark.parametrize("index", [-1, 3])
def test_a_clip_that_is_not_there_is_an_index_error(tmp_path: Path, index: int) -> None:
    write_shard(tmp_path, 0, numbers(0, 3))
    with pytest.raises(IndexError, match=f"clip {index} of 3"):
        Shards(tmp_path).clip("value", index)


def test_a_shard_that_could_not_be_written_is_not_there_at_all(
    tmp_path: Path, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    with file_size_limit(1000), pytest.raises(DatasetError, match=r"cannot write .*00000: .*disk full"):
        write_shard(tmp_path, 0, {"small": np.zeros(2), "value": np.zeros((2, 1000))})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_of_a_shard_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".mdsgen-01234567-00001").mkdir()
    (tmp_path / ".mdsgen-01234567-00001" / "value.npy").write_bytes(b"half")
    write_shard(tmp_path, 1, numbers(0, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["00001"]


def test_fields_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="equally many clips"):
        write_shard(tmp_path, 0, {"a": np.zeros(2), "b": np.zeros(3)})


def test_a_shard_of_notes_alone_is_passed_over(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, {}, {"skipped.csv": "all of them\n"})
    write_shard(tmp_path, 1, numbers(7, 2))
    assert Shards(tmp_path).batch("value", [0, 1]).tolist() == [7, 8]
    assert (shard_path(tmp_path, 0) / "skipped.csv").read_text() == "all of them\n"


def test_shards_with_other_fields_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, numbers(0, 2))
    write_shard(tmp_path, 1, {"value": np.zeros(2)})
    with pytest.raises(DatasetError, match=r"00001 holds \['value'\]"):
        Shards(tmp_path)


def test_a_folder_without_shards_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mdsgen-train prepare"):
        Shards(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, numbers(0, 2))
    (shard_path(tmp_path, 0) / "value.npy").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match="00000 cannot be read"):
        Shards(tmp_path)


def test_code_in_a_shard_is_not_run(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, {"value": np.array([object()], dtype=object)})
    with pytest.raises(DatasetError, match="00000 cannot be read"):
        Shards(tmp_path)


def test_missing_fields_are_named(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, numbers(0, 2))
    Shards(tmp_path).require("value")
    with pytest.raises(DatasetError, match="has no latent: it holds square, value"):
        Shards(tmp_path).require("value", "latent")


def test_a_description_is_read_back_and_never_replaced_by_another(tmp_path: Path) -> None:
    describe(tmp_path, {"scenes": 3})
    describe(tmp_path, {"scenes": 3})
    write_shard(tmp_path, 0, numbers(0, 2))
    assert Shards(tmp_path).description == {"scenes": 3}
    with pytest.raises(DatasetError, match="made from something else"):
        describe(tmp_path, {"scenes": 4})


def test_a_dataset_from_before_geometries_had_pictures_is_still_the_same_one(tmp_path: Path) -> None:
    old = {name: value for name, value in PAPER.to_dict().items() if not name.startswith("frame_")}
    describe(tmp_path, {"clips": {"geometry": old}, "geometry": old})
    describe(tmp_path, {"clips": {"geometry": PAPER.to_dict()}, "geometry": PAPER.to_dict()})
    with pytest.raises(DatasetError, match="made from something else"):
        describe(tmp_path, {"clips": {"geometry": BRISK.to_dict()}, "geometry": PAPER.to_dict()})


def test_a_checksum_is_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (1 << 20) + b"b")
    before = sha256(path)
    path.write_bytes(b"a" * (1 << 20) + b"c")
    assert sha256(path) != before
    with pytest.raises(DatasetError, match="cannot read"):
        sha256(tmp_path / "missing")


def saved(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)  # type: ignore[arg-type]
    return file.getvalue()


ZEROS = np.zeros((2, 3))
DAMAGE = {
    "empty": b"",
    "half a header": saved(ZEROS)[:20],
    "half its numbers": saved(ZEROS)[:-9],
    "no clips": saved(np.zeros((0, 3))),
    "one number": saved(np.float64(3)),
    "texts": saved(np.array(["a", "b"])),
    "objects": saved(np.array([{}, {}]), allow_pickle=True),
    "records": saved(np.zeros(2, [("a", "f4")])),
    "of another machine": saved(ZEROS.astype(">f8")),
    "far more than it holds": saved(ZEROS).replace(b"(2, 3)", b"(2000000000000, 3)"),
    "a negative shape": saved(ZEROS).replace(b"(2, 3)", b"(2,-3)"),
    "an expression as shape": saved(ZEROS).replace(b"(2, 3)", b"(9**9)"),
    "an archive": b"PK\x03\x04" + bytes(100),
    "other clips than the other field": saved(np.zeros((3, 3))),
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_field_is_one_error_that_names_the_shard(tmp_path: Path, content: bytes) -> None:
    write_shard(tmp_path, 0, {"value": ZEROS, "sound": ZEROS})
    (shard_path(tmp_path, 0) / "value.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"the shard .*00000 cannot be read: ") as refusal:
        Shards(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("other", [np.zeros((2, 4)), np.zeros((2, 3), np.float32)], ids=["shape", "type"])
def test_shards_in_other_formats_are_refused(tmp_path: Path, other: np.ndarray) -> None:
    write_shard(tmp_path, 0, {"value": ZEROS})
    write_shard(tmp_path, 1, {"value": other})
    with pytest.raises(DatasetError, match=r"00001 has value as .*, the first shard as float64 \(3,\)"):
        Shards(tmp_path)


def test_a_field_that_the_geometry_does_not_have_like_this_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, {"value": ZEROS})
    shards = Shards(tmp_path)
    shards.require_formats({"value": ("f", (3,)), "another": ("u", (1,))})
    for expected in (("f", (4,)), ("u", (3,))):
        with pytest.raises(DatasetError, match=r"has value as float64 \(3,\): expected"):
            shards.require_formats({"value": expected})


def test_numbers_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="NaN or infinite numbers in value"):
        write_shard(tmp_path, 0, {"value": np.array([1.0, np.nan])})


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 40, b"\xff", b"[" * 100_000, b"3"], ids=range(6))
def test_a_description_that_the_power_took_is_written_again(tmp_path: Path, content: bytes) -> None:
    write_shard(tmp_path, 0, {"value": ZEROS})
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"dataset\.json is missing or damaged"):
        _ = Shards(tmp_path).description
    describe(tmp_path, {"sizes": (1, 2)})
    describe(tmp_path, {"sizes": (1, 2)})
    assert Shards(tmp_path).description == {"sizes": [1, 2]}


def test_what_a_killed_process_left_goes_with_the_next_run_though_nothing_is_left_to_do(tmp_path: Path) -> None:
    describe(tmp_path, {"scenes": 3})
    (tmp_path / ".mdsgen-01234567-00000").mkdir()
    (tmp_path / ".mdsgen-01234567-dataset.json").write_text("{")
    describe(tmp_path, {"scenes": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]
