"""The evaluation as a page to look at and listen to: one HTML file that holds everything."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdsgen.errors import MediaError, writing
from mdsgen.evaluation.page_items import Item
from mdsgen.evaluation.page_scene import scene_html
from mdsgen.table import aligned

_STYLE = """
body { background: #15161a; color: #d8d8dc; font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 2rem;
  max-width: 1400px }
h1, h2, h3 { font-weight: 500; line-height: 1.25 } h2 { margin: 3rem 0 .5rem }
h3 { font-size: 1rem; margin: 1rem 0 .5rem }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem } .pair.long { grid-template-columns: minmax(0, 1fr) }
table { border-collapse: collapse; background: #1d1f25; font-variant-numeric: tabular-nums; margin: 1rem 0 }
th, td { padding: .35rem .9rem; text-align: right } td { white-space: nowrap }
th { font-weight: 500; color: #9a9aa2; vertical-align: bottom }
th:first-child { text-align: left; color: inherit; vertical-align: baseline } .wide { overflow-x: auto }
@media (max-width: 800px) { body { padding: 1rem } .pair { grid-template-columns: minmax(0, 1fr) }
  table { font-size: .8rem } th, td { padding: .3rem .45rem } }
figure { margin: 0; padding-right: .75rem; display: grid; grid-template-columns: 4rem 1fr; overflow: hidden;
  font-size: .75rem; color: #9a9aa2 }
figure > * { grid-column: 2; min-width: 0 } figure > .name { grid-column: 1; text-align: right; padding-right: .5rem }
.time { position: relative } .time img { width: 100%; display: block } .sound img { height: 16rem }
.row { height: 1rem; margin: 2px 0; background: #0b0c0f }
.row i { position: absolute; top: 1px; bottom: 1px; width: 3px; margin-left: -1px }
.true i { background: #fff } .heard i { background: #50dcff } .joined i { background: #b58cff }
.axis { height: 1.2rem }
.axis span, .hertz span { position: absolute; white-space: nowrap; transform: translateX(-50%) }
.hertz { position: relative } .hertz span { right: .5rem; transform: translateY(50%) }
.head { position: absolute; top: 0; bottom: 0; width: 2px; background: #ffdc50; left: 0; opacity: 0 }
.playing .head { opacity: 1 }
video { width: calc(100% - 4.75rem); max-width: 320px; margin: .75rem 0 0 4rem; display: block }
pre { background: #1d1f25; padding: 1rem; overflow-x: auto } .no { color: #ff9a76 } summary { cursor: pointer }
.legend b { font-weight: 400; padding-left: .4rem; border-left: 3px solid } .legend .t { border-color: #fff }
.legend b + b { margin-left: 1.5rem } .legend .h { border-color: #50dcff } .legend .j { border-color: #b58cff }
"""

_SCRIPT = """
for (const side of document.querySelectorAll(".side")) {
  const film = side.querySelector("video"), heads = side.querySelectorAll(".head");
  const follow = () => {
    for (const head of heads) head.style.left = 100 * film.currentTime / side.dataset.seconds + "%";
    if (!film.paused) requestAnimationFrame(follow);
  };
  film.addEventListener("play", () => { side.classList.add("playing"); follow(); });
  film.addEventListener("seeked", () => { side.classList.add("playing"); follow(); });
}
"""
"""Moves a line through film strip, marks and spectrogram while a clip plays."""

_JOINED = "<b class=j>one window's sound becomes the next one's</b>"


def write_page(
    path: Path, tables: Iterable[Sequence[Sequence[str]]], items: Iterable[Item], settings: Mapping[str, Any]
) -> None:
    """Write scores, as ``tables`` of words, and the scenes of ``items`` with their sounds to ``path``.

    Raises :class:`MediaError` where it cannot be written.
    """
    flat = {**settings, **settings.get("sampling", {})}
    rows = [(name, str(value)) for name, value in flat.items() if name != "sampling"]
    scenes = list(items)
    joined = any(len(side.joins) for item in scenes for side in item.sides)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>mdsgen-eval</title>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<style>{_STYLE}</style><h1>Sound for held-out scenes</h1>",
        *map(_table, tables),
        f"<details><summary>Settings</summary><pre>{html.escape(aligned(rows))}</pre></details>",
        "<p class=legend><b class=t>something happens</b><b class=h>something is heard to begin</b>",
        f"{_JOINED if joined else ''}</p>",
        *map(scene_html, scenes),
        f"<script>{_SCRIPT}</script>",
    ]
    with writing(path, MediaError):
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words, the first one as the head. On a narrow screen the table can be pushed aside by itself."""
    head, *body = [[html.escape(cell) for cell in row] for row in rows]
    lines = [f"<tr><th>{'<th>'.join(head)}</tr>", *(f"<tr><th>{'<td>'.join(row)}</tr>" for row in body)]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"
