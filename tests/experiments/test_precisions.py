"""A bundle in several precisions, judged on real scenes; the page that the figures go into, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mdsgen.bundle import DENOISER, VIDEO_ENCODER, Bundle
from mdsgen.errors import MdsgenError, SettingsError
from mdsgen.experiments.marked_page import END, START, MarkedPage
from mdsgen.experiments.precision_tables import tables
from mdsgen.experiments.precisions import compare_bundles, main
from mdsgen.experiments.setup import Setup
from tests.runner import Runner

PROSE = f"# Precisions\n\nbefore\n\n{START}\nold figures\n{END}\n\nafter\n"


def compare(*words: object) -> Result:
    return Runner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with the kept bundles and the page, and the document that the command printed."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("precisions")
    page = folder / "page.md"
    page.write_text(PROSE, encoding="utf-8")
    result = compare(
        *("--bundle", bundle_path, "--precisions", "fp32,fp16,int8-weights", "--clips", 2, "--seed", 4),
        *("--engine", "onnxruntime", "--threads", 1, "--keep", folder / "kept", "--json", "-o", page),
    )
    assert result.exit_code == 0, result.output
    assert "clip 2 of 2" in result.stderr
    document: dict[str, Any] = json.loads(result.stdout, parse_constant=pytest.fail)
    return folder, document


@pytest.fixture
def document(run: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return deepcopy(run[1])


# What is measured


def test_the_bundle_itself_is_the_reference_and_comes_first(document: dict[str, Any]) -> None:
    rows = document["precisions"]
    assert list(rows) == ["fp32", "fp16", "int8-weights"]
    distances = [row["figures"]["mel_error_db"] for row in rows.values()]
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2] < 10


def test_what_a_precision_costs_is_its_files(document: dict[str, Any], run: tuple[Path, dict[str, Any]]) -> None:
    for precision in ("fp16", "int8-weights"):
        row, kept = document["precisions"][precision], run[0] / "kept" / precision
        files = [path.stat().st_size for path in kept.iterdir() if path.name != "manifest.json"]
        assert row["bytes"] == sum(files)
        assert row["denoiser_bytes"] == sum(path.stat().st_size for path in kept.glob(f"{DENOISER}.*"))


def test_a_step_of_every_denoiser_is_timed(document: dict[str, Any]) -> None:
    for row in document["precisions"].values():
        assert 0 < row["step"]["min"] <= row["step"]["median"] <= row["step"]["p95"]
        assert row["step"]["runs"] >= 10
        assert row["engine"] == "onnxruntime"
    assert document["conditions"]["processor"]


def test_every_bundle_sees_the_frames_through_its_own_video_encoder(
    bundle_path: Path, run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source, other = Bundle.open(bundle_path), tmp_path / "other"
    shutil.copytree(source.folder, other)
    for part in (run[0] / "kept" / "int8-weights").glob(f"{VIDEO_ENCODER}.*"):
        shutil.copy(part, other)
    bundles = {"source": source, "the same": source, "other eyes": Bundle(other, source.manifest)}
    judged = compare_bundles(bundles, Setup(2, 4, "onnxruntime", 1))
    assert judged["the same"].figures == judged["source"].figures
    assert judged["other eyes"].figures["mel_error_db"] > 0


# What is kept


def test_a_kept_bundle_is_whole_and_knows_its_figures(
    document: dict[str, Any], run: tuple[Path, dict[str, Any]]
) -> None:
    for precision in ("fp16", "int8-weights"):
        manifest = Bundle.open(run[0] / "kept" / precision).manifest
        found = manifest.provenance["evaluation"]
        assert manifest.precision == precision
        assert (found["clips"], found["seed"], found["steps"]) == (2, 4, 4)
        assert found["figures"] == document["precisions"][precision]["figures"]
        assert found["reference"] == {"precision": "fp32", "figures": document["precisions"]["fp32"]["figures"]}
        assert "converted_from" in manifest.provenance


def test_the_page_keeps_its_prose(document: dict[str, Any], run: tuple[Path, dict[str, Any]]) -> None:
    page = (run[0] / "page.md").read_text(encoding="utf-8")
    before, after = PROSE.split(START)[0], PROSE.split(END)[1]
    assert page.startswith(before + START)
    assert page.endswith(END + after)
    assert tables(document) in page
    assert "old figures" not in page


# The tables


def test_each_table_is_rectangular_and_differences_stand_beside_figures(document: dict[str, Any]) -> None:
    reference, half = (document["precisions"][name]["figures"] for name in ("fp32", "fp16"))
    reference |= {"aligned": 0.5, "kind": 1.0, "onset_f1": 0.7512, "frechet": 3.0}
    half |= {"aligned": 0.25, "kind": 1.0, "onset_f1": None, "frechet": 3.141}
    overview, networks, steps = (part for part in tables(document).split("\n\n") if part.startswith("|"))
    for table in (overview, networks, steps):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    _, _, first, second, _ = overview.splitlines()
    assert first.startswith("| fp32, the reference |")
    assert first.endswith("|  |  |  | 0.00 | 50.0 % | 100.0 % | 0.751 | 3.00 |")
    assert second.endswith("| 25.0 % (-25.0) | 100.0 % (=) |  | 3.14 (+0.14) |")
    assert [line.split("|")[1].strip() for line in networks.splitlines()[2:]] == [
        *("video encoder", "conditioning", "denoiser", "latent decoder", "vocoder")
    ]


def test_the_tables_say_where_guidance_is(document: dict[str, Any]) -> None:
    guided = tables(document)
    assert ", guidance 5. Columns" in guided
    assert "One step of the denoiser, both branches of guidance; all" in guided
    document["settings"] |= {"guidance": 1.0, "distilled": {"guidance": 2.0, "steps": [4, 2]}}
    distilled = tables(document)
    assert ", guidance 2 in the weights. Columns" in distilled
    assert "One step of the denoiser; all" in distilled


def test_where_nobody_named_an_engine_it_is_said_that_they_may_differ(document: dict[str, Any]) -> None:
    said = "on the engine that `auto` found for it, which may not be the same:\n\n| precision | engine |"
    assert said not in tables(document)
    document["settings"]["engine"] = "auto"
    assert said in tables(document)


def test_a_quantised_denoiser_shows_its_layers(document: dict[str, Any]) -> None:
    document["precisions"]["fp16"]["calibration"] = {
        **{"clips": ["a", "b", "c", "d"], "passes": 100, "decibels": None, "kept": ["last"]},
        "layers": {"blocks.0.fc1": 51.26, "last": 40.0},
    }
    *_, said, layers = tables(document).split("\n\n")
    assert "calibrated on 4 clips in 100 passes" in said
    assert "they are exact" in said
    assert layers.splitlines()[2:] == ["| `blocks.0.fc1` | 51.3 | INT8 |", "| `last` | 40.0 | FP32 |"]


# The page


def test_what_is_between_the_marks_is_replaced_as_often_as_one_likes(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PROSE, encoding="utf-8")
    page = MarkedPage(path)
    page.write("| one |\n")
    path.write_text(path.read_text(encoding="utf-8").replace("after", "edited meanwhile"), encoding="utf-8")
    page.write("| two |")
    assert path.read_text(encoding="utf-8") == (
        f"# Precisions\n\nbefore\n\n{START}\n\n| two |\n\n{END}\n\nedited meanwhile\n"
    )


@pytest.mark.parametrize("text", ["", START, f"{END}\n{START}", f"{START}\n{START}\n{END}", f"{START}{END}{END}"])
def test_a_page_without_one_pair_of_marks_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"must have a line {START} and, after it, a line {END}"):
        MarkedPage(path)


def test_a_page_that_may_not_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    path.write_text(PROSE, encoding="utf-8")
    for locked in (path, tmp_path):
        monkeypatch.setattr(os, "access", lambda needed, mode, locked=locked: needed != locked)
        with pytest.raises(SettingsError, match=f"page.md cannot be written: {locked} is read-only"):
            MarkedPage(path)


def test_a_page_is_the_old_or_the_new_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    path.write_text(PROSE, encoding="utf-8")
    page = MarkedPage(path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MdsgenError, match=r"cannot write .*page\.md: No space left"):
        page.write("| new |")
    assert path.read_text(encoding="utf-8") == PROSE
    assert list(tmp_path.iterdir()) == [path]


# What is refused, before any long work


@pytest.fixture
def unmade(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("no bundle must be made")

    monkeypatch.setattr("mdsgen.experiments.precisions.make_bundles", fail)


@pytest.mark.usefixtures("unmade")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precisions", "fp32"], "is in fp32 itself: name another one"),
        (["--precisions", "fp16,int4"], "'int4' is unknown: expected some of fp32, "),
        (["--precisions", ""], "'' is unknown"),
        (["--engine", "abacus"], "'abacus' is not one of 'auto', 'onnxruntime', "),
    ],
)
def test_precisions_that_cannot_be_compared(bundle_path: Path, words: list[str], message: str) -> None:
    result = compare("--bundle", bundle_path, *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.usefixtures("unmade")
def test_a_page_that_is_not_there(bundle_path: Path, tmp_path: Path) -> None:
    result = compare("--bundle", bundle_path, "-o", tmp_path / "none.md")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "none.md cannot be read: No such file" in result.stderr


@pytest.mark.usefixtures("unmade")
def test_a_kept_bundle_in_the_way(bundle_path: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_path, tmp_path / "int8")
    result = compare("--bundle", bundle_path, "--keep", tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path / 'int8'} exists: choose another place" in result.stderr


@pytest.mark.usefixtures("unmade")
def test_scenes_that_are_trained_on(bundle_path: Path) -> None:
    result = compare("--bundle", bundle_path, "--seed", 99_990, "--clips", 60)
    assert result.exit_code == 2
    assert "expected seeds from 0 to 99999, not 60 from 99990 on" in result.stderr


def test_a_failed_run_keeps_nothing_and_can_be_repeated(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")

    def fail(bundles: dict[str, Bundle], *how: object) -> None:
        assert Bundle.open(bundles["fp16"].folder).manifest.precision == "fp16"
        assert [path.name[0] for path in (tmp_path / "kept").iterdir()] == ["."], "beside its place, on the same disk"
        raise MdsgenError("the judge is ill")

    monkeypatch.setattr("mdsgen.experiments.precisions.compare_bundles", fail)
    for _ in range(2):
        result = compare("--bundle", bundle_path, "--precisions", "fp16", "--keep", tmp_path / "kept")
        assert result.stderr.splitlines()[-1] == "error: the judge is ill"
        assert not (tmp_path / "kept").exists()


def test_without_onnx_one_line_says_what_to_install(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mdsgen.export.convert", None)
    result = compare("--bundle", bundle_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: making other precisions needs ONNX")
    assert result.stderr.endswith("pip install 'mdsgen[convert]'\n")
