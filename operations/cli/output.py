"""How commands speak: results on stdout, everything else on stderr, nothing that a file name could smuggle in.

Belongs here: the two consoles, the few shapes every command uses, the error of a wrong call. Does not belong here: what
is said.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

STYLES = {
    "ready": "green",
    "failed": "red",
    "quarantined": "yellow",
    "bounded": "yellow",
    "waiting": "cyan",
    "running": "blue",
    "queued": "blue",
    "stale": "yellow",
}


class UsageProblem(Exception):
    """Something about the call that the caller can mend; the text is one sentence."""


def shortened(names: Sequence[str], most: int) -> str:
    """A list of names for a sentence, at most so many of them."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def clock(ms: int | None) -> str:
    """A time on a timeline, as players show it; empty where there is none."""
    if ms is None:
        return ""
    minutes, second = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def print_json(value: Any) -> None:
    """One JSON object on stdout, and nothing else. Names that are no UTF-8 are escaped, as JSON allows."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


def fail(sentence: str) -> None:
    """One sentence of complaint on stderr."""
    say(f"sourcebound: {sentence}")


def say(sentence: str) -> None:
    """One line on stderr."""
    sys.stderr.write(plain(sentence) + "\n")
    sys.stderr.flush()


def show(line: str | Text) -> None:
    """One line of a result on stdout, as long as it is."""
    _console(sys.stdout).print(_text(line), soft_wrap=True)


def show_table(head: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table on stdout, as wide as the terminal at most, where the last column folds.

    Where stdout is no terminal, lines of columns with a tab between, whole: something else reads them.
    """
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join(plain(str(cell)) for cell in row).rstrip() + "\n")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in head[:-1]:
        table.add_column(name, overflow="fold", no_wrap=False)
    table.add_column(head[-1], overflow="fold", ratio=1)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    _console(sys.stdout).print(table)


def shown_state(state: str) -> Text:
    """A state in its colour."""
    from rich.text import Text

    return Text(state, style=STYLES.get(state, ""))


def progress_console() -> Console:
    """The console of progress."""
    return _console(sys.stderr)


def plain(text: str) -> str:
    """Text that a terminal shows as one line: no control characters, no line breaks, no halves of characters."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _text(value: str | Text) -> RenderableType:
    from rich.text import Text

    return Text(plain(value)) if isinstance(value, str) else value


def _console(file: TextIO) -> Console:
    from rich.console import Console

    return Console(file=file, highlight=False)
