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
from mdsgen.evaluation.picture import film_with_sound
from mdsgen.geometry import DEMO
from mdsgen.media import VideoInfo, open_writer, probe
from mdsgen.media.png import png_bytes
from mdsgen.scenes import write_video

_STYLE = """
body { background: #15161a; color: #d8d8dc; font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1500px }
h1, h2 { font-weight: 500 } h2 { margin: 2.2em 0 .2em } img { width: 100%; image-rendering: pixelated; display: block }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.2em } video { width: 224px; margin-top: .5em }
pre { background: #1d1f25; padding: 1em; overflow-x: auto } p { margin: .3em 0 } .no { color: #ff9a76 }
"""


def write_page(
    path: Path, evaluation: Evaluation, sounds: Sequence[np.ndarray], shown: int, settings: Mapping[str, Any]
) -> None:
    """Write the scores and ``shown`` clips of as many kinds as there are, generated and real side by side, to ``path``.

    Raises :class:`MediaError` where it cannot be written.
    """
    facts = ", ".join(f"{name} {value}" for name, value in settings.items())
    clips = list(zip(evaluation.clips, sounds, evaluation.generated, evaluation.real, strict=True))
    parts = [
        "<!doctype html><meta charset=utf-8><title>mdsgen-eval</title>",
        f"<style>{_STYLE}</style><h1>Sound for held-out scenes</h1><p>{html.escape(facts)}</p>",
        f"<pre>{html.escape(evaluation.scores.page())}</pre>",
        "<p>Under every film strip: white marks where something happens, the spectrogram (125 to 7600 Hz, 85 dB), blue "
        "marks where something was heard to begin.</p>",
        *(_clip(*clips[index]) for index in _varied([clip.scene.kind for clip in evaluation.clips])[:shown]),
    ]
    try:
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise MediaError(f"cannot write {path}: {error.strerror}") from error


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
    picture = film_with_sound(clip.pictures, sound, DEMO.duration, clip.onsets, prediction.onsets)
    return "".join(
        [
            f"<div><p>{name}: {''.join(_words(clip, prediction))}</p>",
            f'<img alt="{name}: film strip and spectrogram" src="{_data("image/png", png_bytes(picture))}">',
            f'<video controls preload=metadata src="{_data("video/mp4", _with_sound(film, sound))}"></video></div>',
        ]
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
