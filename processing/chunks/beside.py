"""One tap of a chunk in a thread of its own, where a second core has come free.

Belongs here: handing frames over. Does not belong here: whether there is a core (resources/lending), or taps.

Every tap still sees the same frames in the same order, one at a time, so that nothing about its product changes.
Decoders, filters and encoders let go of the interpreter while they work.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

import av

from processing.chunks.taps import Picture, PictureTap

FRAMES_BETWEEN = 4  # handed over and not yet taken; 3 MB each at 1080p
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class _Shown:
    """One frame in the one size that the tap looks at; what it was made of is gone by then."""

    image: av.VideoFrame

    @property
    def decoded(self) -> av.VideoFrame:
        raise ValueError("a tap in a thread of its own has one size to look at")

    def at(self, width: int, height: int) -> av.VideoFrame:
        if (self.image.width, self.image.height) != (width, height):
            raise ValueError(f"{width}x{height} was not handed over")
        return self.image


class Beside:
    """Feeds `tap` in a thread. Raises ValueError for a tap that does not say which one size it `looks_at`."""

    def __init__(self, tap: PictureTap) -> None:
        if tap.looks_at is None:
            raise ValueError("a tap in a thread of its own looks at one size and says which")
        self._tap = tap
        self._size = tap.looks_at
        self._frames: queue.Queue[tuple[Picture, int, int] | None] = queue.Queue(FRAMES_BETWEEN)
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name="beside", daemon=True)
        self._thread.start()

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        """Hand the frame over, waiting where the tap is behind. Raises what the tap raised."""
        self._hand_over((_Shown(picture.at(*self._size)), ticks, duration))

    def end(self) -> None:
        """Wait until the tap has seen every frame. Raises what it raised."""
        self._hand_over(None)
        self._thread.join()
        self._raise()

    def _hand_over(self, item: tuple[Picture, int, int] | None) -> None:
        while True:
            self._raise()
            try:
                return self._frames.put(item, timeout=LOOK_S)
            except queue.Full:
                continue

    def _raise(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _feed(self) -> None:
        try:
            while (item := self._frames.get()) is not None:
                self._tap.frame(*item)
        except BaseException as trouble:  # noqa: BLE001 - it is raised in the thread of the chunk
            self._trouble = trouble
