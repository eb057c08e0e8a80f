"""The judge of :mod:`mdsgen.evaluation` as one ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from mdsgen.evaluation.judge import FIGURES, FRAMES, LOG_MEL, PICTURE_SIZE, PICTURES
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.export.precision import store_half
from mdsgen.geometry import DEMO
from mdsgen.model.judge import Judge


def export_judge(judge: Judge, path: Path) -> None:
    """Write a trained judge, weights in FP16: any number of clips at once."""
    clips = 2  # a batch of one would be taken for a constant
    frames = torch.zeros(clips, PICTURES, PICTURE_SIZE, PICTURE_SIZE, 3, dtype=torch.uint8)
    log_mel = torch.zeros(clips, DEMO.mel_frames, DEMO.mel.bins)
    dynamic = dict.fromkeys((FRAMES, LOG_MEL, FIGURES), "clips")
    model = store_half(trace(Network("judge", judge, {FRAMES: frames, LOG_MEL: log_mel}, FIGURES, dynamic)))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
