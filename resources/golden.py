"""A release of a model held against the golden set of its task: asked like any source, scored, let through or not.

Belongs here: putting items to the gateway, scoring, keeping the table, the decision. Does not belong here: the sets,
the measures, comparing (resources/releases), or who asks for it (a command, an asset).

Answers are artifacts: scoring the same release again asks nobody. Tables are kept as Parquet in `golden/` of the home.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import BadInput, ContractBroken
from processing.manifest import Verdict
from processing.words import examined
from processing.work import Bounds, Result, Task
from resources.gateway.gateway import Order
from resources.gateway.limits import CallClass
from resources.house import House
from resources.ledger.rows import DecisionKind
from resources.releases import golden_sets, scoring
from resources.releases.golden_sets import GoldenSet, Item, ask_of
from resources.releases.registry import Registry
from resources.releases.release import Release
from resources.releases.scoring import Score
from resources.releases.trial import kept as kept_answer
from resources.releases.trial import summarised

if TYPE_CHECKING:
    import pandas as pd

GATES = Path(golden_sets.__file__).with_name("gates.toml")
SOURCE = "golden"  # stands for a source in the record of calls
AT_ONCE = 4  # items; the governor may let fewer ask, and a set of forty is done in ten rounds
# Measured: 0.4 CPU-s and 90 MB an answer or a step of a summary.
BOUNDS = Bounds(wall_base_s=60, wall_per_media_s=0.0, memory_mb=384, output_mb=64)


@dataclass(frozen=True, slots=True)
class Held:
    """A release held against a set: its table, the shares of errors by measure, which bars it missed."""

    release: Release
    golden: GoldenSet
    frame: pd.DataFrame
    shares: Mapping[str, float]
    missed: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether it may stand in for another."""
        return not self.missed


def find_release(registry: Registry, name: str) -> Release:
    """A release by its id, or "id@version". Raises `BadInput` that says which there are."""
    found = [each for each in registry.releases.values() if name in (each.id, each.name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(each.name for each in (found or registry.releases.values())))
    raise BadInput(f"{name} is no release of a model", cure=f"name one of {known}")


def gates(task: AskTask) -> dict[str, float]:
    """The bars of a task: the largest share of errors by measure."""
    table = tomllib.loads(GATES.read_text(encoding="utf-8"))
    return {name: float(value) for name, value in table.get(task.value, {}).items()}


def hold(house: House, release: Release, *, actor: str, run_id: str, told: Callable[[str], None]) -> Held:
    """Hold a release against the golden set of its task, keep its table and put the decision on record.

    `told` hears of each item. Raises the failures of calls.
    """
    golden = golden_sets.golden_set(release.task.value)
    with _scratch(house) as scratch, ThreadPoolExecutor(AT_ONCE, thread_name_prefix="golden") as threads:
        examiner = _Examiner(house, release, run_id, scratch)
        scores = []
        for item, found in zip(golden.items, threads.map(examiner.scores, golden.items), strict=True):
            told(item.id)
            scores += found
    frame = scoring.table(scores, golden, release.identity)
    scoring.keep(frame, folder(house), file_name(release))
    summed = scoring.summed(frame)
    shares = dict(zip(summed["measure"].astype(str), summed["share"].astype(float), strict=True))
    bars = gates(release.task)
    missed = {name: bar for name, bar in bars.items() if shares.get(name, 1.0) > bar}
    house.ledger.decide(
        DecisionKind.GATED,
        actor=actor,
        reason=f"{release.name} {'misses ' + ', '.join(sorted(missed)) if missed else 'keeps every bar'}",
        source=None,
        asset=None,
        payload={
            "release": release.name,
            "sha256": release.sha256,
            "task": release.task.value,
            "golden": golden.digest,
            "shares": shares,
            "bars": bars,
            "passed": not missed,
        },
    )
    return Held(release, golden, frame, shares, missed)


def folder(house: House) -> Path:
    """Where the tables are kept."""
    return house.settings.home / "golden"


def file_name(release: Release) -> str:
    """A table's name without its ending: one for each content of a release."""
    return f"{release.id}-{release.version.replace('+', '-')}-{release.sha256[:12]}"


def kept(house: House, release: Release) -> pd.DataFrame | None:
    """The table of a release, or None where it was never held against the set as it is now."""
    golden = golden_sets.golden_set(release.task.value)
    for path in sorted(folder(house).glob(f"{file_name(release)}.*")):
        frame = scoring.kept(path)
        if set(frame["golden"]) == {golden.digest}:
            return frame
    return None


@contextmanager
def _scratch(house: House) -> Iterator[Path]:
    root = house.settings.home / "run"
    root.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="golden-", dir=root))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Examiner:
    """Puts the items of a set to one release; what it answers is read by workers."""

    house: House
    release: Release
    run_id: str
    scratch: Path

    def scores(self, item: Item) -> list[Score]:
        """An item's scores; an answer that cannot be used counts as one that says nothing."""
        place = self.scratch / item.id
        prompts = self.house.words.registry.prompt_identities()
        if self.release.task is AskTask.WRITING:
            trial = summarised(item, self.release.identity, prompts, place, self)
            return scoring.writing_scores(item, trial.document if trial.is_kept else None)
        answer = kept_answer(ask_of(item, place / "asks", prompts), place / "asks", place / "answer", self)
        work = place / "work"
        work.mkdir()
        task = Task(examined.OPERATION, item.told(), work, inputs={examined.ANSWER: answer})
        try:
            found = self.run(task).facts["found"]
        except ContractBroken:
            found = None
        return scoring.SCORES[self.release.task](item, found)

    def run(self, task: Task) -> Result:
        """In a worker."""
        return self.house.compute.run(
            task, BOUNDS, media_s=0.0, needs_permit=False, label=f"golden {task.scratch.parent.name}"
        ).result

    def check(self, task: Task) -> Sequence[Verdict]:
        """In a worker."""
        return self.house.compute.check(task, BOUNDS, media_s=0.0, label=self._label(task))[0]

    def _label(self, task: Task) -> str:
        return f"golden {task.scratch.parent.name} of {self.release.name}"

    def answer(self, ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]:
        """By the gateway."""
        made = self.house.words.gateway.obtain(
            Order(
                ask=ask,
                files=files,
                release=self.release,
                source=SOURCE,
                asset=SOURCE,
                reader=SOURCE,
                run_id=self.run_id,
                correlation=self.run_id,
                call_class=CallClass.BACKFILL,
            )
        )
        return self.house.store.as_input(made, ask.name).path(ANSWER_FILE).read_bytes(), str(made.facts["format"])


def told_of(held: Held) -> str:
    """One sentence about what came of it."""
    shares = json.dumps({name: round(share, 3) for name, share in held.shares.items()})
    return f"{held.release.name} {'passed' if held.passed else 'did not pass'} the golden set: {shares}"
