"""Pictures in buffers whose rows are padded."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.integrations.raw_video import RawVideo


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_rows_begin_at_multiples_of_four_bytes(width: int) -> None:
    picture = np.random.default_rng(width).integers(0, 256, (3, width, 3), np.uint8)
    rows = np.pad(picture.reshape(3, 3 * width), ((0, 0), (0, -3 * width % 4)), constant_values=255)
    np.testing.assert_array_equal(RawVideo(width, 3).picture(rows.tobytes()), picture)


def test_the_last_row_needs_no_padding_and_nothing_else_may_be_missing() -> None:
    assert RawVideo(3, 2).picture(bytes(12 + 9)).shape == (2, 3, 3)
    with pytest.raises(MediaError, match="a picture of 3×2 in 20 bytes is not whole"):
        RawVideo(3, 2).picture(bytes(20))
