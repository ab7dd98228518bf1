"""The command `sourcebound` as benchmarks call it: this checkout's, with this interpreter.

Belongs here: how it is called and what it is told of its home. Does not belong here: timing it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from resources.settings import Settings

COMMAND = [sys.executable, "-c", "from operations.cli.main import app; app()"]
PICTURE_AND_SOUND = ["--only", "release"]  # all that it needs; words are a run of their own, as fast as their models
ROOT = Path(__file__).resolve().parents[1]  # where it is called: modules are found from there


def environment(settings: Settings) -> dict[str, str]:
    """What the command is told of its home."""
    return {**os.environ, **settings.to_environment()}
