"""The judge of :mod:`mdsgen.evaluation` as one ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from mdsgen.evaluation.judge import FIGURES, FRAMES, LOG_MEL
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.export.precision import store_half
from mdsgen.geometry import DEMO, PICTURE_SIZE, Geometry
from mdsgen.model.judge import Judge


def export_judge(judge: Judge, path: Path, geometry: Geometry = DEMO) -> None:
    """Write a trained judge, weights in FP16, for scenes of a geometry: any number of clips at once."""
    clips = 2  # a batch of one would be taken for a constant
    frames = torch.zeros(clips, geometry.video_frames, PICTURE_SIZE, PICTURE_SIZE, 3, dtype=torch.uint8)
    log_mel = torch.zeros(clips, geometry.mel_frames, geometry.mel.bins)
    dynamic = dict.fromkeys((FRAMES, LOG_MEL, FIGURES), "clips")
    model = store_half(trace(Network("judge", judge, {FRAMES: frames, LOG_MEL: log_mel}, FIGURES, dynamic)))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
