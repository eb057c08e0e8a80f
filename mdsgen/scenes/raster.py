"""A picture that antialiased shapes are painted on.

Places and lengths count from the upper left corner in sides of the square picture: (1, 1) is its lower right corner.
A shape is its signed distance in pixels, of which the edge pixel takes its share; only its own window is touched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdsgen.scenes.material import Colour, Paint

Veil = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Opacity of every pixel from the shape's own coordinates ``u`` and ``v``."""
Alpha = float | Veil
"""Opacity: one for all, or one per pixel."""


class Canvas:
    """Pixels, float32 ``[size, size, 3]`` in 0..1."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.size = len(pixels)

    def disc(
        self, x: float, y: float, rx: float, paint: Colour | Paint, alpha: Alpha = 1.0, ry: float | None = None
    ) -> None:
        """A disc of radius ``rx``, or an ellipse that is ``2 ry`` high."""
        ry = rx if ry is None else ry
        if (found := self._window(x - rx, y - ry, x + rx, y + ry)) is None:
            return
        window, px, py = found
        u, v = (px - x) / rx, (py - y) / ry
        radius = np.sqrt(u * u + v * v)
        self._blend(window, (1 - radius) * (min(rx, ry) * self.size), u, v, paint, alpha)

    def ring(self, x: float, y: float, rx: float, width: float, paint: Colour, alpha: Alpha, ry: float) -> None:
        """The outline, ``width`` wide, of an ellipse."""
        if (found := self._window(x - rx - width, y - ry - width, x + rx + width, y + ry + width)) is None:
            return
        window, px, py = found
        u, v = (px - x) / rx, (py - y) / ry
        distance = np.abs(np.sqrt(u * u + v * v) - 1) * min(rx, ry)
        self._blend(window, (max(width / 2, 0.5 / self.size) - distance) * self.size, u, v, paint, alpha)

    def bar(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radius: float,
        paint: Colour | Paint,
        alpha: Alpha = 1.0,
        tip: float | None = None,
    ) -> None:
        """A bar with round ends: ``radius`` wide at its start, ``tip`` (the same) at its end."""
        (x0, y0), (x1, y1) = start, end
        tip = radius if tip is None else tip
        wide = max(radius, tip, 0.6 / self.size)
        found = self._window(min(x0, x1) - wide, min(y0, y1) - wide, max(x0, x1) + wide, max(y0, y1) + wide)
        if found is None:
            return
        window, px, py = found
        dx, dy = x1 - x0, y1 - y0
        length = max(float(np.hypot(dx, dy)), 1e-6)
        along = ((px - x0) * dx + (py - y0) * dy) / length  # [h, w]
        across = ((py - y0) * dx - (px - x0) * dy) / length
        share = np.clip(along / length, 0.0, 1.0)
        local = np.maximum(radius + (tip - radius) * share, 0.6 / self.size)
        inside = local - np.hypot(along - share * length, across)
        self._blend(window, inside * self.size, 2 * share - 1, across / wide, paint, alpha)

    def box(self, x: float, y: float, half: tuple[float, float], paint: Colour | Paint, alpha: Alpha = 1.0) -> None:
        """A rectangle of half width and half height ``half``."""
        if (found := self._window(x - half[0], y - half[1], x + half[0], y + half[1])) is None:
            return
        window, px, py = found
        along, across = np.broadcast_arrays(px - x, py - y)
        inside = np.minimum(half[0] - np.abs(along), half[1] - np.abs(across))
        self._blend(window, inside * self.size, along / half[0], across / half[1], paint, alpha)

    def below(self, heights: np.ndarray, paint: Colour | Paint, alpha: Alpha = 1.0) -> None:
        """Everything under the line ``heights [n]``, which spans the picture from left to right."""
        if (found := self._window(-1.0, float(heights.min()), 2.0, 1.0)) is None:
            return
        window, px, py = found
        line = np.interp(px[0], np.linspace(0, 1, len(heights)), heights).astype(np.float32)
        self._blend(window, (py - line) * self.size, 2 * px - 1 + 0 * py, py - line, paint, alpha)

    def glow(self, x: float, y: float, radius: float, paint: Colour, amount: float) -> None:
        """Light added around a point: a bell curve that has faded at ``radius``."""
        if (found := self._window(x - radius, y - radius, x + radius, y + radius)) is None:
            return
        window, px, py = found
        light = amount * np.exp(-5 * ((px - x) ** 2 + (py - y) ** 2) / radius**2)
        self.pixels[window] += light[..., np.newaxis] * np.asarray(paint, dtype=np.float32)

    def streaks(self, starts: np.ndarray, ends: np.ndarray, paint: Colour, alpha: np.ndarray, width: float) -> None:
        """Many thin lines at once, from ``starts [n, 2]`` to ``ends [n, 2]``, ``alpha [n]`` opaque."""
        if not len(starts):
            return
        longest = float(np.abs(ends - starts).max()) * self.size
        share = np.linspace(0, 1, int(longest) + 2)[:, np.newaxis, np.newaxis]  # [steps, 1, 1]
        points = (starts + (ends - starts) * share) * self.size - 0.5  # [steps, n, 2]
        length = np.hypot(*(ends - starts).T) * self.size  # [n], in pixels
        # A line lays down its width × its length, split over its steps, whatever their number.
        weight = np.broadcast_to(alpha * width * self.size * (length + 1) / len(share), points.shape[:2])
        layer = 1 - np.exp(-self._splat(points, weight))
        self.pixels += layer[..., np.newaxis] * (np.asarray(paint, dtype=np.float32) - self.pixels)

    def _splat(self, points: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Weights at points (in pixels) shared out between the four pixels around each, float32 ``[size, size]``."""
        corner = np.floor(points)
        right, lower = np.moveaxis(points - corner, -1, 0)
        column, row = np.moveaxis(corner.astype(int), -1, 0)
        side = self.size + 2  # a margin of one pixel takes what lies outside
        column, row = column + 1, row + 1
        inside = (column >= 0) & (column < side - 1) & (row >= 0) & (row < side - 1)
        first = (row * side + column)[inside]
        right, lower, weight = right[inside], lower[inside], weight[inside]
        index = np.concatenate([first, first + 1, first + side, first + side + 1])
        left, upper = 1 - right, 1 - lower
        parts = np.concatenate([left * upper, right * upper, left * lower, right * lower]) * np.tile(weight, 4)
        layer = np.bincount(index, parts, side * side).reshape(side, side)
        return np.asarray(layer[1:-1, 1:-1], dtype=np.float32)

    def _window(
        self, left: float, top: float, right: float, bottom: float
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
        """The pixels that a box touches, and the places of their middles ``x [1, w]`` and ``y [h, 1]``."""
        size = self.size
        x0, x1 = max(int(left * size) - 1, 0), min(int(right * size) + 2, size)
        y0, y1 = max(int(top * size) - 1, 0), min(int(bottom * size) + 2, size)
        if x0 >= x1 or y0 >= y1:
            return None
        px = (np.arange(x0, x1, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        py = (np.arange(y0, y1, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        return (slice(y0, y1), slice(x0, x1)), px[np.newaxis, :], py[:, np.newaxis]

    def _blend(
        self,
        window: tuple[slice, slice],
        inside: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        paint: Colour | Paint,
        alpha: Alpha,
    ) -> None:
        """Lay a colour over a window; ``inside`` is how many pixels deep each pixel lies in the shape."""
        cover = np.clip(inside + 0.5, 0.0, 1.0)
        cover = cover * (alpha(u, v) if callable(alpha) else alpha)
        colour = paint(u, v) if callable(paint) else np.asarray(paint, dtype=np.float32)
        under = self.pixels[window]
        under += cover[..., np.newaxis].astype(np.float32, copy=False) * (colour - under)
