"""What can be heard in a scene, as the labels that the judge tells apart: kinds, and what things are made of."""

from __future__ import annotations

import numpy as np

from mdsgen.scenes import IMPACTS, INTENSITY_RATE, KINDS, Event, Source, Truth

MATERIALS: dict[str, tuple[str, ...]] = {
    "bounce": ("wood", "metal", "glass", "ceramic", "rubber"),
    "hammer": ("wood", "metal", "glass", "ceramic"),
    "bell": ("metal", "glass"),
    "metronome": ("wood", "metal"),
    "footsteps": ("wood", "metal", "gravel", "snow"),
    "rain": ("water", "metal", "leaves"),
}
"""The materials of every kind that comes in more than one."""

SOUNDS: tuple[tuple[str, str], ...] = tuple((kind, material) for kind in MATERIALS for material in MATERIALS[kind])
"""Every such kind and material: a wooden ball does not sound like a wooden bar."""

LABELS: tuple[tuple[str, ...], ...] = (*((kind,) for kind in KINDS), *SOUNDS)
"""All that is told apart, in the order of :func:`label`."""

AUDIBLE = 0.1
"""Events weaker than this share of their scene's strongest are not expected to be heard."""
TOGETHER = 0.1
"""Seconds: events that follow sooner than this on another one are heard as one with it."""
PITCHES = 48
"""Whole tones that are told apart."""
LOWEST_PITCH = 11.0
"""Hz, of the first of them; the last is 47 whole tones higher, nearly eight octaves."""

_PITCHES_PER_OCTAVE = 6
_RINGING = 0.2  # seconds after an event in which it is still plainly heard
_STANDSTILL = 0.05  # intensity below which a machine says nothing


def kinds_of(truth: Truth) -> set[str]:
    """The kinds of all sources of a scene."""
    return {source.kind for source in truth.sources}


def materials_of(truth: Truth, kind: str) -> set[str]:
    """What the things of that kind in a scene are made of."""
    return {source.material for source in truth.sources if source.kind == kind}


def all_impacts(truth: Truth) -> bool:
    """Whether everything in a scene sounds in blows: only there are onsets counted."""
    return kinds_of(truth) <= IMPACTS.keys()


def onset_times(truth: Truth, duration: float) -> np.ndarray:
    """Seconds at which a listener hears something begin, ``[onsets]``, in order.

    Those of the events within ``duration`` that are neither too weak (:data:`AUDIBLE`) nor one with the event before
    (:data:`TOGETHER`).
    """
    events = [event for event in truth.events if 0 <= event.time < duration]
    least = AUDIBLE * max((event.strength for event in events), default=0.0)
    kept: list[Event] = []
    for event in events:
        if event.strength >= least and (not kept or event.time - kept[-1].time >= TOGETHER):
            kept.append(event)
    return np.array([event.time for event in kept])


def label(truth: Truth, start: float, end: float) -> np.ndarray:
    """Labels of the part of a scene from ``start`` to ``end`` seconds, bool ``[2, labels]``.

    First which of :data:`LABELS` are in it, then which of these labels are certain:
    what is there but silent just then is not.
    """
    present, certain = np.zeros(len(LABELS), bool), np.ones(len(LABELS), bool)
    for source in truth.sources:
        heard = not _silent(source, start, end)
        for name in ((source.kind,), (source.kind, source.material)):
            if name in LABELS:
                index = LABELS.index(name)
                certain[index] = heard or (present[index] and certain[index])  # of two alike, one is enough
                present[index] = True
    return np.stack([present, certain])


def intensities(truth: Truth, times: np.ndarray) -> np.ndarray:
    """How strongly what sounds all the time does so at ``times`` in seconds, float32 in 0..1 like ``times``.

    Of several such sources, of the first; 0 where there is none.
    """
    curve = next(
        (source.intensity for source in truth.sources if source.intensity is not None), np.zeros(1, np.float32)
    )
    return _at(curve, times).astype(np.float32)


def pitches(truth: Truth, times: np.ndarray) -> np.ndarray:
    """What is pitched how at ``times [T]`` in seconds, float32 in 0..1, ``[T, PITCHES]``.

    The lowest tone of every source that has one, whether it sounds just then or not, is a bell curve with a deviation
    of a whole tone on a scale of :data:`PITCHES` of them from :data:`LOWEST_PITCH` on: two things may have two pitches,
    and what is nearly right nearly counts.
    """
    scale = LOWEST_PITCH * 2.0 ** (np.arange(PITCHES) / _PITCHES_PER_OCTAVE)  # [PITCHES], Hz
    found = np.zeros((len(times), PITCHES), np.float32)
    for source in truth.sources:
        if source.pitch is not None:
            tone = _at(source.pitch, times)[:, np.newaxis]  # [T, 1]
            away = _PITCHES_PER_OCTAVE * np.log2(tone / scale)  # [T, PITCHES], whole tones
            found = np.maximum(found, np.exp(-0.5 * away**2))
    return found.astype(np.float32)


def _at(curve: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values of a source's curve at ``times`` in seconds; one of a single value has it all the time."""
    return np.asarray(curve[np.minimum((times * INTENSITY_RATE).astype(int), len(curve) - 1)])


def _silent(source: Source, start: float, end: float) -> bool:
    if source.kind in IMPACTS:
        return not any(start - _RINGING <= event.time < end - _RINGING for event in source.events)
    if source.intensity is None or not len(source.intensity):
        return False
    heard = source.intensity[int(start * INTENSITY_RATE) : int(end * INTENSITY_RATE)]
    return bool(heard.max(initial=0.0) < _STANDSTILL)
