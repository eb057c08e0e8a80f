"""Where a scene is filmed: wall and floor, light, camera distance, and what the camera and the room add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdsgen.scenes.material import Colour
from mdsgen.scenes.noise import band, shaped
from mdsgen.scenes.raster import Canvas

PATTERNS = ("plain", "bricks", "stripes", "hills")


@dataclass(frozen=True)
class Stage:
    """The ground lies at ``ground`` of the picture's height; ``zoom`` is 1 near by and 0.5 at twice the distance.

    ``grain`` is the standard deviation of the camera's noise where full scale is 1, ``hiss`` the RMS of the room's.
    """

    seed: int
    zoom: float
    ground: float
    wall: Colour
    floor: Colour
    pattern: str
    light: float
    grain: float
    hiss: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Stage:
        """Dull colours, so that the things in front stand out; a hiss between -70 and -45 dB."""
        grey, tint = rng.uniform(0.25, 0.75), rng.uniform(-0.09, 0.09, (2, 3))
        wall, floor = grey + tint[0], grey * rng.uniform(0.55, 0.9) + tint[1]
        return cls(
            seed=int(rng.integers(1 << 31)),
            zoom=float(rng.uniform(0.62, 1.0)),
            ground=float(rng.uniform(0.80, 0.90)),
            wall=(float(wall[0]), float(wall[1]), float(wall[2])),
            floor=(float(floor[0]), float(floor[1]), float(floor[2])),
            pattern=PATTERNS[rng.integers(len(PATTERNS))],
            light=float(rng.uniform(0.8, 1.1)),
            grain=float(rng.uniform(0.0, 0.025)),
            hiss=float(10 ** (rng.uniform(-70, -45) / 20)),
        )

    def backdrop(self, size: int) -> np.ndarray:
        """The empty stage, float32 ``[size, size, 3]``."""
        rise = np.linspace(1.12, 0.88, size, dtype=np.float32)[:, np.newaxis, np.newaxis]
        pixels = np.ones((size, size, 3), dtype=np.float32) * np.asarray(self.wall, dtype=np.float32) * rise
        canvas = Canvas(pixels)
        dark = (0.85 * self.wall[0], 0.85 * self.wall[1], 0.85 * self.wall[2])
        back = self.ground - 0.07
        if self.pattern == "bricks":
            for row in range(int(back / 0.08)):
                canvas.bar((0.0, 0.08 * row), (1.0, 0.08 * row), 0.004, dark, 0.7)
        elif self.pattern == "stripes":
            for column in range(10):
                canvas.box(0.05 + 0.1 * column, 0.5, (0.022, 0.5), dark, 0.6)
        elif self.pattern == "hills":
            x = np.linspace(0, 1, 33) * 2 * np.pi
            canvas.below(back - 0.12 - 0.08 * np.sin(x + self.seed % 7) - 0.03 * np.sin(3.3 * x), dark)
        canvas.below(np.full(2, back), self.floor)
        return pixels

    def develop(self, canvas: Canvas, picture: int) -> np.ndarray:
        """What the camera makes of a canvas: uint8 ``[size, size, 3]``, with the noise of its own exposure."""
        pixels = canvas.pixels * np.float32(255 * self.light)
        if self.grain:
            rng = np.random.default_rng([self.seed, picture])
            noise = rng.standard_normal(canvas.size * canvas.size, dtype=np.float32) * np.float32(255 * self.grain)
            pixels += noise.reshape(canvas.size, canvas.size, 1)
        return np.clip(pixels, 0, 255).astype(np.uint8)

    def room(self, samples: int) -> np.ndarray:
        """The noise of the room, float32 ``[samples]``."""
        rng = np.random.default_rng([self.seed])
        return np.asarray(np.float32(self.hiss) * shaped(rng, samples, band(60, rng.uniform(300, 3000))))
