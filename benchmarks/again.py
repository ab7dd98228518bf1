"""The whole corpus through `process`, twice in one home: what the second time costs beside the first.

CPU is that of the whole machine meanwhile, which has to be quiet. Nothing may be encoded again, and every asset has to
have the data version it had. Run: `python -m benchmarks.again`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import COMMAND, ROOT, environment
from benchmarks.machine import Clock, wait_for_quiet
from benchmarks.results import Figure, record
from resources.settings import load_settings
from tests.corpus import corpus_root, rows

BAR = 0.10


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the command."""

    report: dict[str, Any]
    cpu_s: float

    @property
    def versions(self) -> dict[str, dict[str, str | None]]:
        """Data versions by source and asset."""
        return {
            entry["source"]: {name: asset["data_version"] for name, asset in entry["assets"].items()}
            for entry in self.report["sources"]
        }


def process(home: Path, files: list[Path]) -> Call:
    """Run the command over files."""
    command = [*COMMAND, "process", "--json", *map(str, files)]
    wait_for_quiet()
    before = Clock.now()
    done = subprocess.run(
        command, env=environment(load_settings(home=home)), cwd=ROOT, stdout=subprocess.PIPE, check=False
    )
    return Call(json.loads(done.stdout), Clock.now().busy_s - before.busy_s)


def main() -> None:
    """Measure, print and record; fail above the bar."""
    root = corpus_root()
    if root is None:
        raise SystemExit("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    files = [root / row["path"] for row in rows()]
    with tempfile.TemporaryDirectory() as temporary:
        first, second = (process(Path(temporary, "home"), files) for _ in range(2))
    share = second.cpu_s / first.cpu_s
    changed = [key for key, versions in first.versions.items() if second.versions.get(key) != versions]
    print(
        f"{len(first.report['sources'])} sources: first {first.cpu_s:.0f} CPU-s, then {second.cpu_s:.1f} ({share:.3f})"
    )
    print(f"encoder calls {first.report['encoder_calls']}, then {second.report['encoder_calls']}; changed {changed}")
    figures = {
        "again_cpu": Figure(round(share, 3), BAR, "lower", "times the first"),
        "again_encoder_calls": Figure(second.report["encoder_calls"], 0, "lower", "calls"),
        "again_changed": Figure(len(changed), 0, "lower", "sources"),
    }
    record(figures)
    if broken := [name for name, figure in figures.items() if not figure.holds]:
        raise SystemExit(f"above the bar: {', '.join(broken)}")


if __name__ == "__main__":
    sys.exit(main())
