"""A progress bar in media seconds, with rate and time left, on stderr, drawn from the ledger.

Belongs here: drawing. Does not belong here: knowing when work is done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from resources.ledger.ledger import Ledger


class Progress:
    """Use it in a `with`. Draws nothing where stderr is no terminal: logs stay readable."""

    def __init__(self, total_sources: int) -> None:
        self._total = total_sources
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress
            from rich.text import Text

            from operations.cli.output import progress_console

            class Rate(ProgressColumn):
                """Media seconds a second: 2.0x is twice as fast as the film plays."""

                def render(self, task: Task) -> Text:
                    return Text(f"{task.speed:.1f}x" if task.speed else "", style="progress.data.speed")

            self._bar = RichProgress(
                TextColumn("{task.fields[sources]}"),
                BarColumn(),
                TextColumn("{task.completed:.0f} of {task.total:.0f} media seconds"),
                Rate(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[what]}", markup=False),
                console=progress_console(),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, sources=f"0/{self._total}", what="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, ledger: Ledger, running: Sequence[str], done: int) -> None:
        """Draw how far the running sources are, in media seconds summed over their passes."""
        if self._bar is None or self._task is None:
            return
        by_source = ledger.progress_of(running)
        items = [item for assets in by_source.values() for item in assets.values()]
        self._bar.update(
            self._task,
            completed=sum(item.done_s for item in items),
            total=max(sum(item.total_s for item in items), 1.0),
            sources=f"{done}/{self._total}",
            what=", ".join(running)[:60],
        )
