"""Geometries for tests: two that are small enough to be quick, and any that can be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from hypothesis import strategies as st

from mdsgen.geometry import PAPER, SAMPLE_RATE, Geometry, MelFormat


def _small(name: str, height: int, width: int, time_axis: int) -> Geometry:
    mel = MelFormat(bins=16, hop=160, fft=512, f_min=0.0, f_max=8000.0, scale="ln")
    return Geometry(name, 3, height, width, time_axis, compression=4, latent_scale=1.0, mel=mel)  # type: ignore[arg-type]


WIDE = _small("wide", height=4, width=24, time_axis=1)
"""24 tokens in 2 rows of 12 time columns; 3 video frames."""
TALL = _small("tall", height=24, width=4, time_axis=0)
"""The same sound with time along the height."""
BRISK = replace(PAPER, name="brisk", frame_rate=15.625, frame_size=56)
"""The paper's with four small pictures in every time column: 128 of them, and 32 features."""


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any geometry that holds at least one video frame, up to a few hundred tokens."""
    patch, compression = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 4, 8]))
    rows, hop = draw(st.integers(1, 8)), draw(st.integers(16, 512))
    frame_rate = draw(st.sampled_from([4.0, 15.625, 1.5, 25, 29.97]) | st.floats(1, 60))
    columns_of_a_frame = math.ceil(SAMPLE_RATE / (frame_rate * hop * compression * patch))
    frames = patch * draw(st.integers(columns_of_a_frame, columns_of_a_frame + 40))
    bins, time_axis = patch * rows, draw(st.sampled_from([0, 1]))
    height, width = (frames, bins) if time_axis == 0 else (bins, frames)
    low, high = sorted(draw(st.lists(st.floats(0, SAMPLE_RATE / 2), min_size=2, max_size=2, unique=True)))
    scale: Literal["ln", "unit_db"] = draw(st.sampled_from(["ln", "unit_db"]))
    return Geometry(
        name=draw(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)),
        channels=draw(st.integers(1, 16)),
        height=height,
        width=width,
        time_axis=time_axis,  # type: ignore[arg-type]
        compression=compression,
        latent_scale=draw(st.floats(1e-3, 1e3)),
        mel=MelFormat(bins * compression, hop, hop + draw(st.integers(0, 1024)), low, high, scale),
        patch=patch,
        frame_rate=frame_rate,
        frame_size=draw(st.integers(1, 336)),
    )
