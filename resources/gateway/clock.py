"""The clock of the gateway, as a port: the database's own, or one that a simulation moves.

Belongs here: telling the time and waiting. Does not belong here: what is done with it (governor).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from datetime import datetime


class Clock(ABC):
    """Tells the gateway's functions the time."""

    @abstractmethod
    def now(self) -> datetime | None:
        """The time with its zone; None lets the database tell its own, the one clock that all processes share."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class DatabaseClock(Clock):
    """The database's clock, and real waiting."""

    def now(self) -> None:
        return None

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
