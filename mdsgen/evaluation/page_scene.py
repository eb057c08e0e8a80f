"""One scene on the page: what was seen, what was heard, and film after film to play."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mdsgen.evaluation.judge import PICTURE_RATE, PICTURE_SIZE
from mdsgen.evaluation.page_items import Item, Side
from mdsgen.evaluation.picture import film_strip, spectrogram
from mdsgen.evaluation.spectrogram import mel_places
from mdsgen.geometry import DEMO
from mdsgen.media import VideoInfo, open_writer, probe, read_pictures
from mdsgen.media.png import png_bytes
from mdsgen.scenes import write_video

_HERTZ = (250, 500, 1000, 2000, 4000)
_WIDTH = 1024  # pixels of a spectrogram
_LONG = 10.0  # seconds from which on sides stand below each other
_TICKS = 8  # on the axis of time, at most


def scene_html(item: Item) -> str:
    """A scene with its sounds side by side, or below each other where they are long."""
    things = " and ".join(f"{source.material} {source.kind}" for source in item.scene.truth.sources)
    with TemporaryDirectory(prefix="mdsgen-") as folder:
        film = Path(folder) / "film.mp4"
        write_video(item.scene, film, size=4 * PICTURE_SIZE if item.duration < _LONG else 2 * PICTURE_SIZE, silent=True)
        info = probe(film)
        sides = [_side(side, item, info) for side in item.sides]
    layout = "pair" if item.duration < _LONG else "'pair long'"
    return f"<h2>Scene {item.scene.seed}: {html.escape(things)}</h2><div class={layout}>{''.join(sides)}</div>"


def _side(side: Side, item: Item, film: VideoInfo) -> str:
    (poster,) = (_data("image/png", png_bytes(picture)) for picture in _middle(film))
    strip, drawn = film_strip(item.strip), spectrogram(side.sound, _WIDTH)
    joins = _marks("joined", side.joins, item.duration) + "<span class=name>joined</span>" if len(side.joins) else ""
    return "".join(
        [
            f"<div class=side data-seconds={item.duration:g}><h3>{side.name}: {side.words}</h3><figure>",
            _in_time(f'<img alt="{side.name}: film strip" src="{_data("image/png", png_bytes(strip))}">'),
            "<span class=name>seen</span>",
            _marks("true", item.onsets, item.duration),
            "<span class=name>heard</span>",
            _marks("heard", side.heard, item.duration),
            joins,
            f"<span class='name hertz'>{_hertz()}</span>",
            _in_time(f'<img alt="{side.name}: spectrogram" src="{_data("image/png", png_bytes(drawn))}">', "sound"),
            f"<div class='time axis'>{_seconds(item.duration)}</div></figure>",
            f'<video controls preload=metadata poster="{poster}" ',
            f'src="{_data("video/mp4", _with_sound(film, side.sound, item.duration))}">',
            "</video></div>",
        ]
    )


def _middle(film: VideoInfo) -> Iterator[np.ndarray]:
    return read_pictures(film, PICTURE_RATE, 4 * PICTURE_SIZE, start=film.duration / 2, duration=1 / PICTURE_RATE)


def _in_time(content: str, kind: str = "") -> str:
    """What shares the time axis, with the line that moves through it."""
    return f"<div class='time {kind}'>{content}<span class=head></span></div>"


def _marks(kind: str, times: np.ndarray, duration: float) -> str:
    marks = "".join(f"<i style='left:{100 * time / duration:.2f}%'></i>" for time in times)
    return _in_time(marks, f"row {kind}")


def _seconds(duration: float) -> str:
    step = next(step for step in (2, 5, 10, 20, 60) if duration / step <= _TICKS or step == 60)
    ticks = range(0, int(duration) + 1, step)
    return "".join(f"<span style='left:{100 * at / duration:.2f}%'>{at} s</span>" for at in ticks)


def _hertz() -> str:
    """Tones at their heights in the spectrogram; the last one says the unit."""
    places = mel_places(np.array(_HERTZ, float), DEMO.mel)
    unit = {_HERTZ[-1]: " Hz"}
    return "".join(
        f"<span style='bottom:{100 * place:.1f}%'>{tone}{unit.get(tone, '')}</span>"
        for tone, place in zip(_HERTZ, places, strict=True)
    )


def _with_sound(film: VideoInfo, sound: np.ndarray, duration: float) -> bytes:
    target = film.path.with_name("sounding.mp4")
    with open_writer(target, film, duration=min(film.duration, duration)) as writer:
        writer.write(sound[: writer.samples])
    return target.read_bytes()


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
