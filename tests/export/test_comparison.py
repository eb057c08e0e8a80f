"""INT8 through the comparison of precisions: from a bundle to the tables, with real linear layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdsgen.bundle import Bundle
from mdsgen.experiments.precision_tables import tables
from mdsgen.experiments.precisions import main
from tests.runner import Runner


def test_int8_is_made_judged_kept_and_shown_with_its_layers(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    words = ["--bundle", str(bundles["fp32"].folder), "--precisions", "int8", "--clips", "2", "--threads", "1"]
    result = Runner().invoke(main, [*words, "--engine", "onnxruntime", "--keep", str(tmp_path / "kept"), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    row = document["precisions"]["int8"]
    assert 0 < row["figures"]["mel_error_db"] < 10
    assert row["denoiser_bytes"] < document["precisions"]["fp32"]["denoiser_bytes"]
    manifest = Bundle.open(tmp_path / "kept" / "int8").manifest
    assert manifest.precision == "int8"
    assert manifest.provenance["calibration"] == row["calibration"]
    assert manifest.provenance["evaluation"]["figures"] == row["figures"]
    *_, said, layers = tables(document).split("\n\n")
    assert "calibrated on 8 clips in 24 passes" in said
    assert len(layers.splitlines()) == 2 + len(row["calibration"]["layers"])
    assert "| `final_layer.linear` |" in layers
