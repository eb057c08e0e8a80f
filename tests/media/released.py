"""Reading pictures as the released models see them: four a second, 224×224."""

from __future__ import annotations

from functools import partial

from mdsgen import media

read_frames = partial(media.read_frames, frame_rate=4, size=224)
read_pictures = partial(media.read_pictures, frame_rate=4, size=224)
prepare_frames = partial(media.prepare_frames, size=224)
scaled_pictures = partial(media.scaled_pictures, size=224)
