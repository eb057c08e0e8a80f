"""Training clips: pictures, sound and spectrogram of one window each, as they are or rendered from scenes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mdsgen.errors import DatasetError
from mdsgen.evaluation.labels import LABELS, PITCHES, intensities, label, onset_times, pitches
from mdsgen.geometry import FEATURE_CHANNELS, SAMPLE_RATE, Geometry
from mdsgen.model.mel import LogMel
from mdsgen.report import Pace, Report, silent
from mdsgen.scenes import sample_scene
from mdsgen.training.filming import filmed
from mdsgen.training.shards import SHARD_CLIPS, describe, shard_path, write_shard

Spread = Callable[[Callable[[Any], object], Sequence[Any]], Iterator[object]]
"""Does work for each of some tasks, and yields once for each that is done: :func:`in_parallel`, or a cluster."""


def prepare_scenes(
    folder: Path,
    geometry: Geometry,
    count: int,
    first_seed: int,
    *,
    spread: Spread | None = None,
    shard_clips: int = SHARD_CLIPS,
    report: Report = silent,
) -> None:
    """Render ``count`` scenes from ``first_seed`` on into a dataset of pictures, sound and spectrograms.

    Its fields are those of :func:`clip_fields`. Shards that are there already are kept; ``spread`` None is one process.
    """
    describe(folder, {"scenes": count, "first_seed": first_seed, "geometry": geometry.to_dict(), "shard": shard_clips})
    starts = range(0, count, shard_clips)
    todo = [start for start in starts if not shard_path(folder, start // shard_clips).exists()]
    render = partial(_render_shard, folder, geometry, count, first_seed, shard_clips)
    done = len(starts) - len(todo)
    pace = Pace(done)
    for _ in (spread or in_parallel)(render, todo):
        done += 1
        report(pace.line(done, len(starts), "shards rendered"))


def _render_shard(folder: Path, geometry: Geometry, count: int, first_seed: int, shard_clips: int, start: int) -> None:
    end = min(start + shard_clips, count)
    clips = [scene_fields(first_seed + index, geometry) for index in range(start, end)]
    write_shard(folder, start // shard_clips, stacked(clips))


def scene_fields(seed: int, geometry: Geometry) -> dict[str, np.ndarray]:
    """What is kept of a scene's window: :func:`clip_fields` of it as a film, and what only a scene knows.

    ``onsets`` uint8 ``[frames]`` are 1 in the spectrogram frames in which something begins to sound, ``labels`` uint8
    ``[labels]`` where it is of that kind, or kind and material (:data:`~mdsgen.evaluation.labels.LABELS`), and
    ``intensity`` float16 ``[columns]`` is how strongly what sounds all the time does so in the middle of each column,
    and ``pitches`` float16 ``[columns, pitches]`` how what has a pitch is pitched then
    (:func:`~mdsgen.evaluation.labels.pitches`).
    """
    scene = sample_scene(seed, duration=geometry.duration)
    onsets = np.zeros(geometry.mel_frames, np.uint8)
    onsets[(onset_times(scene.truth, geometry.duration) * SAMPLE_RATE / geometry.mel.hop).astype(int)] = 1
    middles = (np.arange(geometry.time_columns) + 0.5) * geometry.duration / geometry.time_columns  # seconds
    return {
        **clip_fields(filmed(scene, geometry), as_int16(scene.sound()), geometry),
        "onsets": onsets,
        "labels": label(scene.truth, 0.0, geometry.duration)[0].astype(np.uint8),
        "intensity": intensities(scene.truth, middles).astype(np.float16),
        "pitches": pitches(scene.truth, middles).astype(np.float16),
    }


def clip_fields(frames: np.ndarray, sound: np.ndarray, geometry: Geometry) -> dict[str, np.ndarray]:
    """What is kept of a clip.

    ``frames`` uint8 ``[F, size, size, 3]``, ``sound`` int16 ``[samples]``, ``log_mel`` float16 ``[frames, bins]``.
    """
    return {"frames": frames, "sound": sound, "log_mel": log_mel(sound[np.newaxis], geometry)[0]}


def clip_formats(geometry: Geometry) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What every field of a dataset must be in a geometry: NumPy's kind of number, and the shape of one clip."""
    size = geometry.picture_size
    return {
        "frames": ("u", (geometry.video_frames, size, size, 3)),
        "sound": ("i", (geometry.samples,)),
        "log_mel": ("f", (geometry.mel_frames, geometry.mel.bins)),
        "onsets": ("u", (geometry.mel_frames,)),
        "labels": ("u", (len(LABELS),)),
        "intensity": ("f", (geometry.time_columns,)),
        "pitches": ("f", (geometry.time_columns, PITCHES)),
        "features": ("f", (geometry.video_features, FEATURE_CHANNELS)),
        "latent": ("f", geometry.latent_shape),
    }


def stacked(clips: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The fields of several clips as those of a shard, ``[clips, ...]`` each."""
    return {name: np.stack([clip[name] for clip in clips]) for name in (clips[0] if clips else ())}


def as_int16(sound: np.ndarray) -> np.ndarray:
    """Sound of -1..1 as 16-bit samples."""
    samples: np.ndarray = np.rint(np.clip(sound, -1.0, 1.0) * 32767)
    return samples.astype(np.int16)


def as_float(sound: np.ndarray) -> np.ndarray:
    """16-bit samples as float32 in -1..1."""
    return sound.astype(np.float32) / 32767


@torch.no_grad()
def log_mel(sound: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The spectrograms of int16 ``sound [B, samples]``, float16 ``[B, frames, bins]``."""
    transform = _log_mel(geometry)
    return np.concatenate([transform(torch.from_numpy(as_float(clip))[None]).numpy() for clip in sound]).astype(
        np.float16
    )


@lru_cache(maxsize=1)
def _log_mel(geometry: Geometry) -> LogMel:
    return LogMel(geometry.mel)


T = TypeVar("T")


def in_parallel(work: Callable[[T], object], tasks: Sequence[T], workers: int = 1) -> Iterator[object]:
    """Do all tasks, yielding in their order as they get done; several workers compute on one thread each.

    Whatever ends this early ends the workers at once: what they were making is made again.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(work, tasks)
        return
    # Not forked: a process that has computed with PyTorch leaves locks behind in its children.
    context = get_context("spawn")
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    try:
        yield from pool.map(work, tasks)
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that prepared clips was killed: the same command goes on where it stopped"
        ) from error
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once: its shard is made again
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task forever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
