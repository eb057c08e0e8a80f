"""All kinds of scene, and drawing one from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdsgen.errors import SceneError
from mdsgen.scenes.actor import Actor, Place
from mdsgen.scenes.bounce import Bounce
from mdsgen.scenes.elements import Fire, Rain, Waves
from mdsgen.scenes.machines import Cars, Engine, Fan
from mdsgen.scenes.pendulum import Metronome
from mdsgen.scenes.scene import DURATION, Scene
from mdsgen.scenes.stage import Stage
from mdsgen.scenes.strikes import Bell, Drum, Hammer
from mdsgen.scenes.walk import Walker

Sampler = Callable[[np.random.Generator, Place, float], Actor]
"""Draws an actor: ``Bounce.sample`` and its like."""
IMPACTS: dict[str, Sampler] = {actor.kind: actor.sample for actor in (Bounce, Hammer, Bell, Drum, Metronome, Walker)}
"""Kinds whose sound is a number of blows."""
CONTINUOUS: dict[str, Sampler] = {actor.kind: actor.sample for actor in (Rain, Fire, Waves, Engine, Fan, Cars)}
"""Kinds that sound all the time."""
KINDS = (*IMPACTS, *CONTINUOUS)
"""All kinds."""
SHORTEST, LONGEST = 4.0, 60.0
"""Limits of a scene's duration in seconds: in less, nothing might happen."""
_SAMPLERS = IMPACTS | CONTINUOUS
_STANDING = ("bounce", "hammer", "bell", "drum", "metronome", "fire", "engine", "fan")
_SHARED = 0.3
"""Share of the scenes that could have two things in which there are two."""


def sample_scene(seed: int, kind: str | None = None, duration: float = DURATION) -> Scene:
    """Draw a scene of ``kind`` (any) from ``seed``: the same one every time.

    Kinds that stand in one place share the picture with another of them in three scenes of ten. Raises
    :class:`SceneError` for an unknown kind.
    """
    if kind is not None and kind not in _SAMPLERS:
        raise SceneError(f"scene kind {kind!r} is unknown: expected one of {', '.join(KINDS)}")
    if seed < 0 or not SHORTEST <= duration <= LONGEST:
        raise SceneError(
            f"expected a seed from 0 on and {SHORTEST:g} to {LONGEST:g} s, not seed {seed} and {duration:g} s"
        )
    rng = np.random.default_rng([seed])
    kind = kind or KINDS[rng.integers(len(KINDS))]
    stage = Stage.sample(rng)
    cast = [kind]
    if kind in _STANDING and rng.random() < _SHARED:
        cast.append(kind if rng.random() < 0.4 else _STANDING[rng.integers(len(_STANDING))])
    actors = [
        _SAMPLERS[name](rng, place, duration) for name, place in zip(cast, _places(rng, stage, len(cast)), strict=True)
    ]
    return Scene(seed, duration, stage, tuple(actors))


def _places(rng: np.random.Generator, stage: Stage, count: int) -> list[Place]:
    """One place in the middle, or two side by side and a little farther away."""
    if count == 1:
        return [Place(float(rng.uniform(0.42, 0.58)), stage.ground, stage.zoom)]
    left, right = (Place(x, stage.ground, 0.75 * stage.zoom) for x in (0.27, 0.73))
    return [left, right] if rng.random() < 0.5 else [right, left]
