"""A camera's sound to the sound card, with two threads: one reads pictures, the other plays.

python examples/live.py /dev/video0               # to alsa:default
python examples/live.py film.mp4 sound.wav        # a film at its own speed in the camera's place, into a file
"""

import sys
import threading
from pathlib import Path

from mdsgen import Pipeline
from mdsgen.media.camera import open_camera
from mdsgen.media.endless import open_sink
from mdsgen.runtime import Live


def read(source: Path, live: Live) -> None:
    """Push every picture as it comes, uint8 [H, W, 3] with its time stamp; any other camera library does as well."""
    try:
        with open_camera(source, live.frame_size) as pictures:
            for time, picture in pictures:
                live.push(picture, time)
        live.end()
    except BaseException:
        live.close()
        raise


def main() -> None:
    """Play until the camera ends, or Ctrl-C."""
    camera, speaker = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "alsa:default"
    with Pipeline.open() as pipeline, pipeline.live() as live, open_sink(speaker) as sink:
        threading.Thread(target=read, args=(camera, live), daemon=True).start()
        for sound in live.pull():  # float32, 16 kHz, without gaps
            sink.write(sound)


if __name__ == "__main__":
    main()
