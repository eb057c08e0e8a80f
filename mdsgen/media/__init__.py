"""Video in, sound out, with PyAV alone: frames by their time stamps, a video's own sound, and files that are whole.

Every time is in seconds and counts from the first picture; every sound is float32 mono at 16 kHz; what cannot be read
or written is a :class:`~mdsgen.errors.MediaError`. Nothing here grows with the length of a video.
"""

from typing import TYPE_CHECKING

from mdsgen.lazy import lazily

if TYPE_CHECKING:
    from mdsgen.media.choice import choose_suffix
    from mdsgen.media.folder import VIDEO_SUFFIXES, Folder, read_folder
    from mdsgen.media.formats import FORMATS
    from mdsgen.media.frames import (
        Scaler,
        averaged,
        check_picture,
        check_pictures,
        prepare_frames,
        read_frames,
        read_pictures,
        scaled_pictures,
        timed_pictures,
    )
    from mdsgen.media.output import DEFAULT_OUTPUT, Output
    from mdsgen.media.sound import read_sound
    from mdsgen.media.streams import streams_of
    from mdsgen.media.video import VideoInfo, frame_count, probe, remaining, sample_count
    from mdsgen.media.writer import Writer, open_writer

__all__ = [
    "DEFAULT_OUTPUT",
    "FORMATS",
    "VIDEO_SUFFIXES",
    "Folder",
    "Output",
    "Scaler",
    "VideoInfo",
    "Writer",
    "averaged",
    "check_picture",
    "check_pictures",
    "choose_suffix",
    "frame_count",
    "open_writer",
    "prepare_frames",
    "probe",
    "read_folder",
    "read_frames",
    "read_pictures",
    "read_sound",
    "remaining",
    "sample_count",
    "scaled_pictures",
    "streams_of",
    "timed_pictures",
]

__getattr__ = lazily(
    __name__,
    {
        "choice": ("choose_suffix",),
        "folder": ("VIDEO_SUFFIXES", "Folder", "read_folder"),
        "formats": ("FORMATS",),
        "frames": (
            "Scaler",
            "averaged",
            "check_picture",
            "check_pictures",
            "prepare_frames",
            "read_frames",
            "read_pictures",
            "scaled_pictures",
            "timed_pictures",
        ),
        "output": ("DEFAULT_OUTPUT", "Output"),
        "sound": ("read_sound",),
        "streams": ("streams_of",),
        "video": ("VideoInfo", "frame_count", "probe", "remaining", "sample_count"),
        "writer": ("Writer", "open_writer"),
    },
)
