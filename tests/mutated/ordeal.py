"""What becomes of mutated files in real workers, seen from outside: two at a time, as production would have them made.

Belongs here: putting files through probe and decode, noting every end, watching what nobody may touch. Does not belong
here: the mutations (formats) or what is expected (tests/test_mutations, benchmarks/mutations).
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import processing
from media_assets.declared import declared
from processing.failures import FailureKind, WorkFailure
from processing.manifest import Outcome
from processing.work import Bounds, ProductOrder, SourceFile, Task, Work
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.compute.port import Attempt
from resources.recipes import plan_units, taps_wanted
from tests.media import as_input
from tests.mutated.formats import Mutation
from tests.watch import Watch

AT_ONCE = 2
OWN_FOLDERS = frozenset({"scratch", "originals", "outside", "run"})
WALL_SLACK_S = 2.0  # between the end of a worker's time and its reaping, on a machine that has other work
OPTIONS: Mapping[str, Any] = {"ladder": [360], "encoder": {"preset": "ultrafast", "lookahead": 0}}
_TOO_DEAR = ("quality", "proxy")  # whose taps encode again, or decode, what the ladder made
# What a file may not end in, whatever is in it: it would be tried again, though it will never be another.
RETRIED = (FailureKind.TRANSIENT, FailureKind.THROTTLED, FailureKind.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class End:
    """How one step of one mutated file ended: "succeeded", or the kind of its failure with its sentence."""

    mutation: Mutation
    step: str
    outcome: str
    sentence: str = ""
    detail: str = ""

    @property
    def line(self) -> str:
        return f"{self.mutation.label} | {self.step}: {self.outcome}: {self.sentence}"


@dataclass(slots=True)
class Verdict:
    """All that was seen. Empty lists are what is wished for; `ends` and `outcomes` are what happened."""

    files: int = 0
    ends: list[End] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)  # by outcome: a second try may hide how the first ended
    parent_failures: list[str] = field(default_factory=list)
    beyond_wall: list[str] = field(default_factory=list)
    escapes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def of(self, *kinds: FailureKind) -> list[str]:
        """The ends of these kinds, one line each."""
        return [end.line for end in self.ends if end.outcome in kinds]

    @property
    def outside_taxonomy(self) -> list[str]:
        """Ends that have no kind of the taxonomy, no cause or no cure."""
        known = {kind.value for kind in FailureKind}
        return [
            end.line
            for end in self.ends
            if end.outcome != "succeeded" and (end.outcome not in known or "; " not in end.sentence)
        ]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(f"{end.step} {end.outcome}" for end in self.ends)


class Ordeal:
    """Puts mutated files through workers. `wall_s` is the time of every step, in the place of the declared one."""

    def __init__(self, folder: Path, *, wall_s: float) -> None:
        self._folder = folder
        self._wall_s = wall_s
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        (folder / "originals").mkdir()
        self.watch = Watch(folder / "outside")
        self._files = _code()
        self.verdict = Verdict()
        self._lock = threading.Lock()
        self._works: dict[str, Work] = {name: declaration.work for name, declaration in declared().items()}
        permits = Permits(AT_ONCE, folder=folder / "run")
        self._compute = LocalCompute(permits, workers=AT_ONCE, on_attempt=self._note_attempt)
        warming = self._task("source", self._written(b"warm"))
        self._compute.run(warming, self._works["source"].bounds, media_s=0, label="warm")
        self._nursery = self._compute.nursery_pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._compute.close()
        self.watch.close()

    def endure(self, mutations: Iterable[Mutation]) -> Verdict:
        """Put all files through, then say what was seen."""
        began = time.monotonic()
        waiting = iter(mutations)  # made one by one: thousands of them would fill the memory
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for hand in [pool.submit(self._work_off, waiting) for _ in range(AT_ONCE)]:
                hand.result()
        self.verdict.seconds += time.monotonic() - began
        if self._compute.nursery_pid != self._nursery:
            self.verdict.parent_failures.append("the process that forks workers ended")
        before, self._files = self._files, _code()
        self.verdict.escapes += self.watch.touched()
        self.verdict.escapes += [f"{path} was changed" for path in before if self._files.get(path) != before[path]]
        self.verdict.escapes += [f"{path} was made" for path in self._folder.iterdir() if path.name not in OWN_FOLDERS]
        return self.verdict

    def _work_off(self, waiting: Iterator[Mutation]) -> None:
        while True:
            with self._lock:
                mutation = next(waiting, None)
                if mutation is None:
                    return
                self.verdict.files += 1
            self._guarded(mutation)

    def _guarded(self, mutation: Mutation) -> None:
        """One file, and whatever goes wrong on this side of the border."""
        path = self._written(mutation.data, f"{mutation.number:07d}")
        try:
            self._one(mutation, path)
        except Exception as error:  # noqa: BLE001  the point is that there is none
            self._note(self.verdict.parent_failures, f"{mutation.label}: {type(error).__name__}: {error}")
        if path.read_bytes() != mutation.data:
            self._note(self.verdict.escapes, f"{mutation.label}: the original was changed")
        path.unlink()
        shutil.rmtree(self._scratch / path.name)

    def _one(self, mutation: Mutation, path: Path) -> None:
        work = self._works["media_info"]
        task = self._task("media_info", path, work.parameters({}, OPTIONS))
        info = self._step(mutation, task)
        if info is None:
            return
        made = as_input("media_info", task.out, info)
        self._judge(mutation, replace(task, made=made))
        if info["kind"] == "image":
            work = self._works["thumbnails"]
            still = self._task("thumbnails", path, work.parameters(info, OPTIONS))
            self._step(mutation, replace(still, inputs={"media_info": made}))
        if info.get("video"):
            self._first_unit(mutation, path, "chunks", info)
        if info.get("audio"):
            self._first_unit(mutation, path, "soundtrack", info)

    def _first_unit(self, mutation: Mutation, path: Path, asset: str, info: Mapping[str, Any]) -> None:
        wanted = [name for name in self._works if name not in _TOO_DEAR]
        taps = taps_wanted(self._works[asset], self._works.values(), wanted, info, OPTIONS)
        unit, *_ = plan_units(self._works[asset], taps, info, OPTIONS, path.name)
        products = tuple(product.ordered() for product in unit.products)
        self._step(mutation, self._task(asset, path, unit.parameters, products))

    def _step(self, mutation: Mutation, task: Task) -> Mapping[str, Any] | None:
        """Run one operation and note its end; its facts where it ended well."""
        asset = task.correlation
        try:
            done = self._compute.run(task, self._bounds(asset), media_s=0, label=f"{mutation.label} | {asset}")
        except WorkFailure as failure:
            self._end(End(mutation, asset, failure.kind.value, failure.sentence, failure.detail))
            return None
        self._end(End(mutation, asset, "succeeded"))
        return done.result.facts

    def _judge(self, mutation: Mutation, task: Task) -> None:
        """Run the contract over what was made, as production would before it publishes it."""
        step = f"{task.correlation} contract"
        judging = replace(
            task, operation=self._works[task.correlation].contract, scratch=self._new_scratch(task.original.path)
        )
        bounds = self._bounds(task.correlation)
        try:
            verdicts, _ = self._compute.check(judging, bounds, media_s=0, needs_permit=True, label=mutation.label)
        except WorkFailure as failure:
            self._end(End(mutation, step, failure.kind.value, failure.sentence, failure.detail))
            return
        broken = [f"{each.clause}: {each.found}" for each in verdicts if each.outcome is Outcome.FAILED]
        self._end(End(mutation, step, FailureKind.CONTRACT if broken else "succeeded", "; ".join([*broken, ""])))

    def _task(
        self,
        asset: str,
        path: Path,
        parameters: Mapping[str, Any] | None = None,
        products: tuple[ProductOrder, ...] = (),
    ) -> Task:
        return Task(
            operation=self._works[asset].operation,
            parameters=parameters or {},
            scratch=self._new_scratch(path),
            source=SourceFile(path, "0" * 64, path.stat().st_size),
            products=products,
            correlation=asset,
        )

    def _bounds(self, asset: str) -> Bounds:
        return replace(self._works[asset].bounds, wall_base_s=self._wall_s, wall_per_media_s=0)

    def _new_scratch(self, original: Path) -> Path:
        folder = self._scratch / original.name
        folder.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=folder))

    def _written(self, data: bytes, name: str = "warm") -> Path:
        path = self._folder / "originals" / name
        path.write_bytes(data)
        return path

    def _note_attempt(self, attempt: Attempt) -> None:
        over_s = attempt.ended_at - attempt.started_at - self._wall_s
        if over_s > WALL_SLACK_S:
            self._note(self.verdict.beyond_wall, f"{attempt.label}: {over_s:.1f} s past its bound")
        with self._lock:
            self.verdict.attempts[attempt.outcome] += 1

    def _end(self, end: End) -> None:
        with self._lock:
            self.verdict.ends.append(end)

    def _note(self, problems: list[str], problem: str) -> None:
        with self._lock:
            problems.append(problem)


def _code() -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file of code that workers run."""
    room = Path(processing.__file__).parent
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in room.rglob("*.py")}
