"""The log is a table with one row per step, whatever happened in between."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mdsgen.errors import TrainingError
from mdsgen.training.log import Log


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_report_is_a_row(tmp_path: Path) -> None:
    log = Log(tmp_path / "new" / "log.csv")
    log.write(10, {"loss": 0.5, "rate": 1e-3})
    log.write(20, {"loss": 0.25, "rate": 1e-4})
    assert rows(log.path) == [
        {"step": "10", "loss": "0.5", "rate": "0.001"},
        {"step": "20", "loss": "0.25", "rate": "0.0001"},
    ]


def test_a_training_that_goes_on_appends(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    Log(path).write(10, {"loss": 0.5})
    Log(path, from_step=10).write(20, {"loss": 0.25})
    assert [row["step"] for row in rows(path)] == ["10", "20"]


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    before = Log(path)
    for step in (10, 20, 30):
        before.write(step, {"loss": step})
    Log(path, from_step=10).write(20, {"loss": 0})
    assert [(row["step"], row["loss"]) for row in rows(path)] == [("10", "10"), ("20", "0")]


def test_a_training_that_starts_anew_empties_the_log_but_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    Log(path).write(10, {"loss": 1})
    Log(path)
    assert path.read_text().strip() == "step,loss"


def test_a_row_that_was_cut_off_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    Log(path).write(10, {"loss": 1, "rate": 2})
    with path.open("a") as file:
        file.write("20,0.")
    Log(path, from_step=10).write(20, {"loss": 3, "rate": 4})
    assert [row["step"] for row in rows(path)] == ["10", "20"]
    assert rows(path)[1]["rate"] == "4"


def test_the_first_row_decides_the_columns(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.csv")
    log.write(10, {"loss": 1})
    log.write(20, {"loss": 2, "surprise": 3})
    log.write(30, {})
    assert [row["loss"] for row in rows(log.path)] == ["1", "2", ""]


def test_a_log_that_a_checkpoint_kept_is_made_anew_from_it(tmp_path: Path) -> None:
    before = Log(tmp_path / "log.csv")
    before.write(10, {"loss": 1})
    (tmp_path / "log.csv").write_bytes(b"\0\xff half")
    Log(tmp_path / "log.csv", 10, kept=before.text).write(20, {"loss": 2})
    assert rows(tmp_path / "log.csv") == [{"step": "10", "loss": "1"}, {"step": "20", "loss": "2"}]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        b"\xff\xfe\n1,2\n",
        b"step\n\xc2\xb2\n",
        b"loss,loss\n1,2\n",
        b'"' + b"x" * 200_000,
        b"step,step\n3,4\n",
    ],
    ids=["empty", "zeros", "noise", "superscript", "twice", "unended", "two steps"],
)
def test_a_damaged_log_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    Log(path, from_step=10).write(20, {"loss": 3})
    assert [row["step"] for row in rows(path)] == ["20"]


def test_a_log_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(TrainingError, match=r"cannot write .*log\.csv: Is a directory"):
        Log(tmp_path / "log.csv")
