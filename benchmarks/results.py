"""The figures on record: one JSON file that every benchmark writes its own figures into.

Belongs here: the format and the merging. Does not belong here: measuring.

    {figure: {"value": x, "bar": y, "better": "lower" | "higher", "unit": u, "commit": c, "machine": m}}
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).resolve().with_name("results.json")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside the one it must reach; `bar` None where there is nothing to reach."""

    value: float
    bar: float | None
    better: Literal["lower", "higher"]
    unit: str

    @property
    def holds(self) -> bool:
        """Whether the value reaches the bar."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


def record(figures: Mapping[str, Figure], path: Path = RESULTS) -> None:
    """Write the figures into the file, above older values of the same names; others stay."""
    where = {"commit": commit(), "machine": machine()}
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        known |= {name: {**asdict(figure), **where} for name, figure in figures.items()}
        side = path.with_suffix(".new")
        side.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        side.replace(path)
    path.with_suffix(".lock").unlink(missing_ok=True)


def commit() -> str:
    """The short hash of the checkout, with a plus sign where files differ from it; `unknown` without git."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found + ("+" if changed else "")


def machine() -> str:
    """What kind of machine it is, without its name."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory_gb:.0f} GB"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
