"""A horizontal bar chart as SVG: text that any browser draws, and that can be read without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 860
_ROW, _BAR, _MARGIN = 34, 20, 24
_LETTER = 8.2  # the width of one in the labels' size, a little more than the average
_CAPTION_LETTERS = 125  # in a line
_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"
_REFERENCE, _BLUE = "#8a94a6", "#2563eb"
_INK, _FAINT = "#1f2937", "#6b7280"


@dataclass(frozen=True)
class Bar:
    """A value of 0 or more, what is written beside it, and where the thin line behind it ends.

    A ``reference`` is what the other bars are compared with.
    """

    label: str
    value: float
    text: str
    upper: float
    reference: bool = False


def bar_chart(title: str, bars: Sequence[Bar], caption: Sequence[str]) -> str:
    """Bars from above to below on one scale, a caption under them. There must be at least one bar."""
    left = _MARGIN + _LETTER * max(len(bar.label) for bar in bars) + 12
    right = WIDTH - _MARGIN - _LETTER * max(len(bar.text) for bar in bars) - 12
    longest = max(max(bar.value, bar.upper) for bar in bars) or 1.0
    top = _MARGIN + 40
    drawn = [_row(bar, left, top + _ROW * index, (right - left) / longest) for index, bar in enumerate(bars)]
    bottom = top + _ROW * len(bars)
    lines = _lines(caption)
    below = [
        f'<text x="{_MARGIN}" y="{bottom + 24 + 18 * index}" font-size="12" fill="{_FAINT}">{escape(line)}</text>'
        for index, line in enumerate(lines)
    ]
    height = bottom + 24 + 18 * len(lines) + _MARGIN // 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="{_FONT}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN + 14}" font-size="16" font-weight="600" fill="{_INK}">'
            f"{escape(title)}</text>",
            *drawn,
            *below,
            "</svg>\n",
        ]
    )


def _lines(facts: Sequence[str]) -> list[str]:
    """As many facts in a line as fit."""
    lines: list[str] = []
    for fact in facts:
        longer = f"{lines[-1]} · {fact}" if lines else fact
        if lines and len(longer) <= _CAPTION_LETTERS:
            lines[-1] = longer
        else:
            lines.append(fact)
    return lines


def _row(bar: Bar, left: float, top: float, scale: float) -> str:
    middle, end = top + _ROW / 2, left + scale * max(bar.value, bar.upper)
    baseline = middle + 5
    colour = _REFERENCE if bar.reference else _BLUE
    return "\n".join(
        [
            f'<text x="{left - 10:.1f}" y="{baseline:.1f}" font-size="14" text-anchor="end" fill="{_INK}">'
            f"{escape(bar.label)}</text>",
            f'<line x1="{left:.1f}" x2="{left + scale * bar.upper:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            f'stroke="{_FAINT}" stroke-width="1.5"/>',
            f'<rect class="bar" x="{left:.1f}" y="{middle - _BAR / 2:.1f}" width="{scale * bar.value:.1f}" '
            f'height="{_BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{end + 8:.1f}" y="{baseline:.1f}" font-size="14" fill="{_INK}">{escape(bar.text)}</text>',
        ]
    )
