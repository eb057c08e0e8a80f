"""The published CAVP checkpoint (Diff-Foley's ``cavp_epoch66.ckpt``): its video half as a :class:`VideoEncoder`."""

from __future__ import annotations

from pathlib import Path

from mdsgen.errors import CheckpointError
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.weights.checkpoint import load_strictly, read_state_dict

AUDIO_HALF = ("spec_encoder.", "logit_scale")
"""How the names begin that only the contrastive training against spectrograms needs."""


def load_cavp(path: str | Path) -> VideoEncoder:
    """The video encoder with the checkpoint's weights, frozen and in eval mode.

    The audio half may be in the file or not; any other stranger, and any entry that is missing or of another shape,
    raises :class:`CheckpointError`.
    """
    encoder = VideoEncoder()
    state = read_state_dict(path)
    try:
        load_strictly(encoder, state, "the CAVP video encoder", ignore=AUDIO_HALF)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return encoder.eval().requires_grad_(False)
