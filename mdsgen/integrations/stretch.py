"""Pictures that follow each other without a break, and their sound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import numpy as np

from mdsgen.runtime import Live
from mdsgen.runtime.stamps import LEAP


class Stretch:
    """One stretch of pictures, each with its time in seconds. ``give`` takes the blocks of their sound, each with the
    number of its first sample, and says whether it wants more.

    Pictures of a film wait until what is ready has been computed, and one that lasts long is shown again, so that
    every block gets all its evaluations. Where they come from a ``camera`` they never wait: a thread of its own
    computes, and tells ``fail`` what stopped it.
    """

    def __init__(
        self,
        live: Live,
        give: Callable[[np.ndarray, int], bool],
        fail: Callable[[Exception], None],
        *,
        camera: bool,
    ) -> None:
        self.live = live
        self._give, self._fail = give, fail
        self._given = 0  # samples
        self._shown: tuple[float, np.ndarray] | None = None
        self.is_left = False
        self._puller = threading.Thread(target=self._pull, name="mdsgen", daemon=True) if camera else None
        if self._puller is not None:
            self._puller.start()

    def push(self, picture: np.ndarray, seconds: float) -> None:
        """Take a picture, uint8 ``[H, W, 3]`` RGB of any size, and keep it. Raises what ``Live.push`` raises."""
        if self._puller is not None:
            self.live.push(picture, seconds)
            return
        self._stand_still(seconds)
        self._shown = seconds, picture
        self._give_all(self.live.push(picture, seconds))

    def drain(self) -> None:
        """No picture comes any more: give all that has not been given yet, and nothing where it has been left."""
        self.live.end()
        if self._puller is not None:
            self._puller.join()
        else:
            self._give_all(self.live.pull())

    def leave(self) -> None:
        """Give nothing more after the block that is being computed, whatever other threads are at. Does not wait."""
        self.is_left = True
        self.live.close()

    def _stand_still(self, until: float) -> None:
        """Live sound takes a long time without pictures for work that was not done in time; here it is not."""
        if self._shown is None:
            return
        shown, picture = self._shown
        step = min(self.live.options.block, LEAP) / 2
        while shown + step < until and not self.is_left:
            shown += step
            self._give_all(self.live.push(picture, shown))

    def _give_all(self, blocks: Iterable[np.ndarray]) -> None:
        for block in blocks:
            if len(block) and not self._give(block, self._given):
                self.leave()
            self._given += len(block)

    def _pull(self) -> None:
        try:
            self._give_all(self.live.pull())
        except Exception as error:  # told to whoever listens
            self._fail(error)
