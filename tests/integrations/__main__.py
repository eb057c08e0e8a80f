"""``python -m tests.integrations``: what docs/gstreamer.md says of time and memory, for which tests have no time.

A film of 30 s through gst-launch-1.0: how far its sound lies from where it belongs, second by second. And 200 pipelines
opened and closed: what the process has in memory. Exit status 1 where either is worse than promised.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from mdsgen import Pipeline
from mdsgen.scenes import sample_scene, write_video
from tests.integrations.bindings import registered
from tests.integrations.feeding import Feed, cycle, resident_megabytes
from tests.integrations.launching import MUXED, environment, heard, lags, launch, picture_times, sound_of

BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundle"
MOST_MILLISECONDS, MOST_MEGABYTES = 20.0, 8.0


def together(folder: Path, encoder: str, seconds: float) -> bool:
    """Whether sound and pictures of a film are together over its whole length."""
    film, target = folder / "film.mp4", folder / "sound.mp4"
    write_video(sample_scene(5, "metronome", seconds), film, 25, 224, silent=True)
    launch(MUXED, environment(folder), film=film, target=target, settings="engine=onnxruntime block=2", encoder=encoder)
    with Pipeline.open(engine="onnxruntime") as pipeline, pipeline.live(frame_rate=25, block=2) as live:
        found = list(lags(heard(target), sound_of(film, live)))
    apart = max(abs(lag) for lag, _ in found)
    moved = float(np.abs(np.subtract(picture_times(target), picture_times(film))).max())
    click.echo(f"{encoder}: sound {[f'{lag:+.2f} ms, {like:.2f}' for lag, like in found]}")
    click.echo(
        f"{encoder}: sound within {apart:.2f} ms, pictures within {1000 * moved:.2f} ms, in {len(found)} seconds"
    )
    return apart + 1000 * moved <= MOST_MILLISECONDS


def flat(cycles: int) -> bool:
    """Whether memory stays as it is after the first tenth of the cycles."""
    with Feed(registered(), BUNDLE) as feed:
        cycle(feed, cycles // 10)
        before = resident_megabytes()
        for _ in range(4):
            cycle(feed, cycles // 4)
            click.echo(f"memory {resident_megabytes():.1f} MB, after {cycles // 10} cycles it was {before:.1f} MB")
    return resident_megabytes() - before <= MOST_MEGABYTES


@click.command("integrations")
@click.option("--seconds", default=30.0, show_default=True, help="Of the film; 0 leaves it out.")
@click.option("--encoder", "encoders", multiple=True, default=["opusenc"], show_default=True)
@click.option("--cycles", default=200, show_default=True, help="Pipelines opened; 0 leaves them out.")
def main(seconds: float, encoders: tuple[str, ...], cycles: int) -> None:
    """Measure what docs/gstreamer.md says."""
    good = not cycles or flat(cycles)
    with tempfile.TemporaryDirectory() as folder:
        for encoder in encoders if seconds else ():
            good &= together(Path(folder), encoder, seconds)
    sys.exit(not good)


if __name__ == "__main__":
    main()
