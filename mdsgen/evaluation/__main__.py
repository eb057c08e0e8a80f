"""``python -m mdsgen.evaluation``: look at the sound of a video."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from mdsgen.command import command
from mdsgen.errors import MediaError, writing
from mdsgen.evaluation.onsets import onsets
from mdsgen.evaluation.picture import film_with_sound
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media import probe, read_pictures, read_sound
from mdsgen.media.png import png_bytes

_RATE, _SIDE = 2, 112  # pictures of the strip in a second, and their side in pixels


@command("python -m mdsgen.evaluation")
@click.argument("video", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .png file to write.")
def main(video: Path, output: Path) -> None:
    """Draw VIDEO as a film strip above the spectrogram of its sound, with marks at onsets and at every second."""
    info = probe(video)
    sound = np.concatenate(list(read_sound(info)))
    pictures = np.stack(list(read_pictures(info, _RATE, _SIDE)))
    duration = len(pictures) / _RATE
    samples = round(duration * SAMPLE_RATE)
    heard = np.pad(sound[:samples], (0, max(0, samples - len(sound))))
    drawn = film_with_sound(pictures, heard, duration, onsets(heard), 1 / _RATE)
    with writing(output, MediaError):
        output.write_bytes(png_bytes(drawn))
    click.echo(output)


if __name__ == "__main__":
    main()
