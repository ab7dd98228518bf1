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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import BadInput, WorkFailure
from processing.manifest import Manifest
from resources.gateway.gateway import Order
from resources.gateway.limits import CallClass
from resources.house import House
from resources.ledger.rows import DecisionKind
from resources.releases import golden_sets, scoring
from resources.releases.golden_sets import GoldenSet, Item
from resources.releases.registry import Registry
from resources.releases.release import Release
from resources.releases.scoring import Score
from resources.releases.trial import heard, shown, summarised

if TYPE_CHECKING:
    import pandas as pd

GATES = Path(golden_sets.__file__).with_name("gates.toml")
SOURCE = "golden"  # stands for a source in the record of calls
AT_ONCE = 4
OF = {AskTask.SPEECH: (heard, scoring.speech_scores), AskTask.READING: (shown, scoring.reading_scores)}


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

    `told` hears of each item. Raises `BadInput` for a task without a set, and the failures of calls.
    """
    if release.task not in golden_sets.SCORED:
        raise BadInput(f"there is no golden set for {release.task.value}", cure="name a release of another task")
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
    """Puts the items of a set to one release."""

    house: House
    release: Release
    run_id: str
    scratch: Path

    def scores(self, item: Item) -> list[Score]:
        """An item's scores; an answer that cannot be used counts as one that says nothing."""
        place = self.scratch / item.id
        if self.release.task is AskTask.WRITING:
            prompts = self.house.words.registry.prompt_identities()
            trial = summarised(item, self.release.identity, prompts, place, self._answering)
            return scoring.writing_scores(item, trial.document if trial.is_kept else None)
        ask = golden_sets.ask_of(item, place)
        answer = self.house.store.as_input(
            self._obtained(ask, {role: place / path for role, path in ask.payload.items()}), ask.name
        )
        found_in, scores = OF[self.release.task]
        try:
            found = found_in(answer, item)
        except WorkFailure:
            found = ""
        return scores(item, found)

    def _answering(self, ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]:
        made = self._obtained(ask, files)
        return self.house.store.as_input(made, ask.name).path(ANSWER_FILE).read_bytes(), str(made.facts["format"])

    def _obtained(self, ask: Ask, files: Mapping[str, Path]) -> Manifest:
        return self.house.words.gateway.obtain(
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


def told_of(held: Held) -> str:
    """One sentence about what came of it."""
    shares = json.dumps({name: round(share, 3) for name, share in held.shares.items()})
    return f"{held.release.name} {'passed' if held.passed else 'did not pass'} the golden set: {shares}"
