"""The command as a user types it, in a home of its own.

Belongs here: starting it and reading what it says. Does not belong here: assertions.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operations.session import Session, open_session
from resources.runs.nursery import Nursery
from resources.settings import Settings, load_settings

COMMAND = "from operations.cli.main import app; app()"
CODE = Path(__file__).resolve().parents[1]
PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Said:
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """Its one JSON object."""
        return json.loads(self.out)

    @property
    def says_one_sentence(self) -> bool:
        """Whether it complained as it should: one line on stderr, nothing on stdout, no traceback."""
        return self.out == "" and self.err.count("\n") == 1 and self.err.startswith("sourcebound: ")


@dataclass(slots=True)
class CommandLine:
    """Commands in the folder `place`, whose home is `place/home`."""

    place: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def settings(self) -> Settings:
        return load_settings(home=str(self.home), inbox=str(self.place / "inbox"))

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a command, those of this process's own SOURCEBOUND_* left out."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOURCEBOUND_")}
        named = {"SOURCEBOUND_HOME": str(self.home), "SOURCEBOUND_INBOX": str(self.place / "inbox")}
        return {**kept, "PYTHONPATH": str(CODE), **named, **self.variables, **more}

    def arguments(self, *arguments: str | bytes | Path) -> list[str | bytes | Path]:
        return [sys.executable, "-c", COMMAND, *arguments]

    def __call__(self, *arguments: str | bytes | Path, **more: str) -> Said:
        done = subprocess.run(
            self.arguments(*arguments),
            cwd=self.place,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextlib.contextmanager
    def kept_warm(self) -> Iterator[Session]:
        """Database and nursery up, so that a command in between takes under a second."""
        with open_session(self.settings) as session:
            nursery = Nursery(self.home)
            try:
                nursery.begin(self.settings, session.database_url)
                nursery.begin(self.settings, session.database_url)
                nursery.ensure_started()
                yield session
            finally:
                nursery.stop()
