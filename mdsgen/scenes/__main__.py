"""``python -m mdsgen.scenes``: write one scene as a film."""

from __future__ import annotations

from pathlib import Path

import click

from mdsgen.command import command
from mdsgen.scenes.catalogue import KINDS, LONGEST, SHORTEST, sample_scene
from mdsgen.scenes.scene import DURATION, SIZE
from mdsgen.scenes.video import write_video


@command("python -m mdsgen.scenes")
@click.argument("seed", type=click.IntRange(0))
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .mp4 file to write.")
@click.option("--silent", is_flag=True, help="Leave the sound out.")
@click.option("--size", type=click.IntRange(16, 2048), default=SIZE, show_default=True, help="Side in pixels.")
@click.option("--frame-rate", type=click.FloatRange(1, 120), default=25, show_default=True, help="Pictures per second.")
@click.option(
    "--duration", type=click.FloatRange(SHORTEST, LONGEST), default=DURATION, show_default=True, help="Seconds."
)
@click.option("--quality", type=click.IntRange(0, 51), default=23, show_default=True, help="x264's CRF.")
def main(
    seed: int,
    kind: str | None,
    output: Path,
    silent: bool,
    size: int,
    frame_rate: float,
    duration: float,
    quality: int,
) -> None:
    """Write the scene of SEED, of KIND or any, and print what happens in it until its end."""
    scene = sample_scene(seed, kind, duration)
    write_video(scene, output, frame_rate, size, silent=silent, quality=quality)
    click.echo(f"{output}: {' and '.join(f'{source.material} {source.kind}' for source in scene.truth.sources)}")
    for event in (event for event in scene.truth.events if event.time < duration):
        click.echo(f"{event.time:7.3f} s  {event.kind}  {event.material}  strength {event.strength:.2f}")


if __name__ == "__main__":
    main()
