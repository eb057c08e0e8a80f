"""The evaluation as a page to look at and listen to: one HTML file that holds everything."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mdsgen.errors import MediaError
from mdsgen.evaluation.evaluation import Evaluation
from mdsgen.evaluation.held_out import Clip
from mdsgen.evaluation.judge import Prediction, fitted
from mdsgen.evaluation.picture import film_strip, spectrogram
from mdsgen.evaluation.spectrogram import mel_places
from mdsgen.geometry import DEMO, FRAME_RATE
from mdsgen.media import VideoInfo, open_writer, probe, read_pictures
from mdsgen.media.png import png_bytes
from mdsgen.scenes import write_video
from mdsgen.table import aligned

_STYLE = """
body { background: #15161a; color: #d8d8dc; font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 2rem;
  max-width: 1400px }
h1, h2, h3 { font-weight: 500; line-height: 1.25 } h2 { margin: 3rem 0 .5rem }
h3 { font-size: 1rem; margin: 1rem 0 .5rem }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem }
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
.true i { background: #fff } .heard i { background: #50dcff }
.axis { height: 1.2rem }
.axis span, .hertz span { position: absolute; white-space: nowrap; transform: translateX(-50%) }
.hertz { position: relative } .hertz span { right: .5rem; transform: translateY(50%) }
.head { position: absolute; top: 0; bottom: 0; width: 2px; background: #ffdc50; left: 0; opacity: 0 }
.playing .head { opacity: 1 }
video { width: calc(100% - 4.75rem); max-width: 320px; margin: .75rem 0 0 4rem; display: block }
pre { background: #1d1f25; padding: 1rem; overflow-x: auto } .no { color: #ff9a76 } summary { cursor: pointer }
.legend b { font-weight: 400; padding-left: .4rem; border-left: 3px solid } .legend .t { border-color: #fff }
.legend .h { border-color: #50dcff; margin-left: 1.5rem }
"""

_SCRIPT = """
for (const side of document.querySelectorAll(".side")) {
  const film = side.querySelector("video"), heads = side.querySelectorAll(".head");
  const follow = () => {
    for (const head of heads) head.style.left = 100 * film.currentTime / SECONDS + "%";
    if (!film.paused) requestAnimationFrame(follow);
  };
  film.addEventListener("play", () => { side.classList.add("playing"); follow(); });
  film.addEventListener("seeked", () => { side.classList.add("playing"); follow(); });
}
"""
"""Moves a line through film strip, marks and spectrogram while a clip plays."""

_HERTZ = (250, 500, 1000, 2000, 4000)
_WIDTH = 1024  # pixels of a spectrogram
_PICTURES = 8
"""Of a film strip: so few that one can see what happens in each."""


def write_page(
    path: Path, evaluation: Evaluation, sounds: Sequence[np.ndarray], shown: int, settings: Mapping[str, Any]
) -> None:
    """Write the scores and ``shown`` clips of as many kinds as there are, generated and real side by side, to ``path``.

    Raises :class:`MediaError` where it cannot be written.
    """
    clips = list(zip(evaluation.clips, sounds, evaluation.generated, evaluation.real, strict=True))
    flat = {**settings, **settings.get("sampling", {})}
    rows = [(name, str(value)) for name, value in flat.items() if name != "sampling"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>mdsgen-eval</title>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<style>{_STYLE}</style><h1>Sound for held-out scenes</h1>",
        *(_table(rows) for rows in evaluation.scores.tables),
        f"<details><summary>Settings</summary><pre>{html.escape(aligned(rows))}</pre></details>",
        "<p class=legend><b class=t>something happens</b><b class=h>something is heard to begin</b></p>",
        *(_clip(*clips[index]) for index in _varied([clip.scene.kind for clip in evaluation.clips])[:shown]),
        f"<script>{_SCRIPT.replace('SECONDS', str(DEMO.duration))}</script>",
    ]
    try:
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise MediaError(f"cannot write {path}: {error.strerror}") from error


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words, the first one as the head. On a narrow screen the table can be pushed aside by itself."""
    head, *body = [[html.escape(cell) for cell in row] for row in rows]
    lines = [f"<tr><th>{'<th>'.join(head)}</tr>", *(f"<tr><th>{'<td>'.join(row)}</tr>" for row in body)]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


def _varied(kinds: Sequence[str]) -> list[int]:
    """Numbers of the clips: the first of every kind, then the second of every kind, and so on."""
    return sorted(range(len(kinds)), key=lambda index: (kinds[:index].count(kinds[index]), index))


def _clip(clip: Clip, sound: np.ndarray, generated: Prediction, real: Prediction) -> str:
    things = " and ".join(f"{source.material} {source.kind}" for source in clip.scene.truth.sources)
    with TemporaryDirectory(prefix="mdsgen-") as folder:
        film = Path(folder) / "film.mp4"
        write_video(clip.scene, film, silent=True)
        info = probe(film)
        sides = [
            _side("generated", clip, fitted(sound), generated, info),
            _side("real", clip, clip.sound, real, info),
        ]
    return f"<h2>Scene {clip.scene.seed}: {html.escape(things)}</h2><div class=pair>{''.join(sides)}</div>"


def _side(name: str, clip: Clip, sound: np.ndarray, prediction: Prediction, film: VideoInfo) -> str:
    strip = film_strip(clip.pictures[:: len(clip.pictures) // _PICTURES])
    (poster,) = (_data("image/png", png_bytes(picture)) for picture in _middle(film))
    return "".join(
        [
            f"<div class=side><h3>{name}: {''.join(_words(clip, prediction))}</h3><figure>",
            _in_time(f'<img alt="{name}: film strip" src="{_data("image/png", png_bytes(strip))}">'),
            "<span class=name>seen</span>",
            _marks("true", clip.onsets),
            "<span class=name>heard</span>",
            _marks("heard", prediction.onsets),
            f"<span class='name hertz'>{_hertz()}</span>",
            _in_time(_drawn(name, sound), "sound"),
            f"<div class='time axis'>{_seconds()}</div></figure>",
            f'<video controls preload=metadata poster="{poster}" src="{_data("video/mp4", _with_sound(film, sound))}">',
            "</video></div>",
        ]
    )


def _middle(film: VideoInfo) -> Iterator[np.ndarray]:
    return read_pictures(film, start=film.duration / 2, duration=1 / FRAME_RATE)


def _in_time(content: str, kind: str = "") -> str:
    """What shares the time axis, with the line that moves through it."""
    return f"<div class='time {kind}'>{content}<span class=head></span></div>"


def _marks(kind: str, times: np.ndarray) -> str:
    marks = "".join(f"<i style='left:{100 * time / DEMO.duration:.2f}%'></i>" for time in times)
    return _in_time(marks, f"row {kind}")


def _drawn(name: str, sound: np.ndarray) -> str:
    return f'<img alt="{name}: spectrogram" src="{_data("image/png", png_bytes(spectrogram(sound, _WIDTH)))}">'


def _seconds() -> str:
    ticks = range(0, int(DEMO.duration) + 1, 2)
    return "".join(f"<span style='left:{100 * at / DEMO.duration:.2f}%'>{at} s</span>" for at in ticks)


def _hertz() -> str:
    """Tones at their heights in the spectrogram; the last one says the unit."""
    places = mel_places(np.array(_HERTZ, float), DEMO.mel)
    unit = {_HERTZ[-1]: " Hz"}
    return "".join(
        f"<span style='bottom:{100 * place:.1f}%'>{tone}{unit.get(tone, '')}</span>"
        for tone, place in zip(_HERTZ, places, strict=True)
    )


def _words(clip: Clip, prediction: Prediction) -> Iterator[str]:
    yield "aligned" if prediction.aligned else "<span class=no>not aligned</span>"
    yield f" ({prediction.alignment:+.1f}), heard as {prediction.kind}, {len(prediction.onsets)} onsets"
    yield f" of {len(clip.onsets)}" if len(clip.onsets) else ""


def _with_sound(film: VideoInfo, sound: np.ndarray) -> bytes:
    target = film.path.with_name("sounding.mp4")
    with open_writer(target, film, duration=min(film.duration, DEMO.duration)) as writer:
        writer.write(sound[: writer.samples])
    return target.read_bytes()


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
