"""A camera's sound to the sound card, with two threads: one reads pictures, the other plays.

python examples/live.py /dev/video0               # to alsa:default
python examples/live.py film.mp4 sound.wav        # a film at its own speed in the camera's place, into a file
"""

import argparse
import threading
from pathlib import Path

from mdsgen import Pipeline
from mdsgen.errors import MdsgenError
from mdsgen.media.camera import open_camera
from mdsgen.media.endless import open_sink
from mdsgen.runtime import Live


def read(source: Path, live: Live, faults: list[MdsgenError]) -> None:
    """Push every picture as it comes, uint8 [H, W, 3] with its time stamp; any other camera library does as well."""
    try:
        with open_camera(source, live.frame_size) as camera:
            for time, picture in camera:
                live.push(picture, time)
        live.end(camera.interval)
    except MdsgenError as error:  # told in the other thread
        faults.append(error)
    finally:
        if faults:
            live.close()


def play(source: Path, speaker: str) -> None:
    """Play until the camera ends, or Ctrl-C."""
    faults: list[MdsgenError] = []
    with Pipeline.open() as pipeline, pipeline.live() as live, open_sink(speaker) as sink:
        threading.Thread(target=read, args=(source, live, faults), daemon=True).start()
        for sound in live.pull():  # float32, 16 kHz, without gaps
            sink.write(sound)
        if faults:
            raise faults[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camera", type=Path)
    parser.add_argument("speaker", nargs="?", default="alsa:default")
    asked = parser.parse_args()
    try:
        play(asked.camera, asked.speaker)
    except MdsgenError as error:
        parser.exit(1, f"error: {error}\n")
