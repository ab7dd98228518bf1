"""How commands speak: results on stdout, everything else on stderr.

Belongs here: the two consoles and the few shapes every command uses. Does not belong here: what is said.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

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


@functools.cache
def out() -> Console:
    """The console of results."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=False)


@functools.cache
def err() -> Console:
    """The console of progress and complaints."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout, and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def fail(sentence: str) -> None:
    """One sentence on stderr."""
    print(f"sourcebound: {sentence}", file=sys.stderr)


def shown_state(state: str) -> str:
    """A state in its colour, as console markup."""
    style = STYLES.get(state)
    return f"[{style}]{state}[/{style}]" if style else state
