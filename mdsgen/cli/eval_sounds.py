"""What ``mdsgen-eval`` judges: the sounds that a pipeline makes for compressed films of held-out scenes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

import numpy as np

from mdsgen.evaluation.film import Film, FilmSounds
from mdsgen.evaluation.held_out import HELD_OUT, Clip, Selection
from mdsgen.geometry import DEMO, SAMPLE_RATE
from mdsgen.report import Report, counted
from mdsgen.runtime import Pipeline
from mdsgen.sampling import Sampling


class _Filmed(Protocol):
    def write_film(self, folder: Path) -> Path: ...


T = TypeVar("T", bound=_Filmed)


def window_sounds(
    pipeline: Pipeline, selection: Selection, seeds: int, sampling: Sampling, report: Report
) -> tuple[list[Clip], list[list[np.ndarray]]]:
    """Scenes and ``seeds`` sounds of each, of one window. The first one's seed is the scene's number."""
    duration = pipeline.bundle.manifest.geometry.duration
    rendered, sounds = [], []
    with _films(selection.clips()) as films:
        for clip, film in counted(films, selection.count, "generating the sound of clip", report):
            scene, length = clip.scene, min(duration, clip.scene.duration)
            rendered.append(clip)
            sounds.append(
                [
                    pipeline(film, seed=scene.seed + number * HELD_OUT, duration=length, sampling=sampling).audio
                    for number in range(seeds)
                ]
            )
    return rendered, sounds


def film_sounds(
    pipeline: Pipeline, selection: Selection, sampling: Sampling, report: Report
) -> tuple[list[Film], list[FilmSounds]]:
    """Long scenes, and what is made for each: the film as a whole, and every window of it alone, by the same seed."""
    window = min(pipeline.bundle.manifest.geometry.duration, DEMO.duration)
    shown, sounds = [], []
    with _films(Film(scene, window) for scene in selection.scenes()) as films:
        for film, path in counted(films, selection.count, "generating the sound of film", report):
            shown.append(film)
            sounds.append(_film_sounds(pipeline, film, path, sampling))
    return shown, sounds


def _film_sounds(pipeline: Pipeline, film: Film, path: Path, sampling: Sampling) -> FilmSounds:
    seed, end = film.scene.seed, film.scene.duration
    blocks = list(pipeline.stream(path, sampling, seed=seed, duration=end))
    joins = np.cumsum([len(block) for block in blocks[:-1]]) / SAMPLE_RATE  # what follows fades from one to the next
    alone = [
        pipeline(path, seed=seed, start=start, duration=min(film.window, end - start), sampling=sampling).audio
        for start in film.starts
    ]
    return FilmSounds(np.concatenate(blocks), joins, np.concatenate(alone))


@contextmanager
def _films(scenes: Iterator[T]) -> Iterator[Iterator[tuple[T, Path]]]:
    """Every scene with its film, which is made while the one before it is looked at, and deleted after that."""
    with TemporaryDirectory(prefix="mdsgen-") as folder, ThreadPoolExecutor(1) as beside:
        yield _made(scenes, Path(folder), beside)


def _made(scenes: Iterator[T], folder: Path, beside: Executor) -> Iterator[tuple[T, Path]]:
    def make() -> tuple[T, Path] | None:
        scene = next(scenes, None)
        return None if scene is None else (scene, scene.write_film(folder))

    coming = beside.submit(make)
    while made := coming.result():
        coming = beside.submit(make)
        yield made
        made[1].unlink()
