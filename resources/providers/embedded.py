"""Models that need no network: operations of this build, run by locked-down workers like any other work.

Belongs here: a question as a task, its end as an end of the port. Does not belong here: running tasks
(resources/compute) or the models (processing/words/embedded).

Of a release it reads "operation" ("processing.words.embedded.listening:answer") and "bounds", a mapping with
"wall_base_s", "wall_per_media_s", "memory_mb" and, if it likes, "output_mb". The operation gets the payload as its
input `ask`, the ask's parameters as `parameters["ask"]` and the release as `parameters["release"]`.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE
from processing.failures import FailureKind, WorkFailure
from processing.manifest import list_files
from processing.work import Bounds, Input, Result, Task, is_operation
from resources.compute.port import ComputePort, Done
from resources.providers.bodies import amount, count
from resources.providers.port import (
    MOST_ANSWER_BYTES,
    Answer,
    CallFailure,
    Cancelled,
    Failed,
    Faulty,
    Provider,
    Question,
    Refused,
    Usage,
    Vacuous,
)

LOOK_S = 0.05  # how late a call may end


class Embedded(Provider):
    """Answers by workers of `compute`, with scratch folders of its own below `scratch`."""

    def __init__(self, compute: ComputePort, scratch: Path) -> None:
        self._compute = compute
        self._scratch = scratch

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        reason = self.unavailable(question.release)
        if reason is not None:
            raise Faulty(reason)
        if cancelled.is_set():
            raise Cancelled(f"the call of {question.model} was cancelled")
        run = _Run(self._compute, self._scratch, question)
        run.start()
        # The worker's clock keeps the deadline: the wait for one of the machine's permits is not counted. It cannot be
        # called off; left alone it ends at its bound, and nobody reads it.
        while not run.ended.wait(LOOK_S):
            if cancelled.is_set():
                raise Cancelled(f"the call of {question.model} was cancelled")
        if run.failure is not None:
            raise run.failure
        assert run.answer is not None
        return run.answer

    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        operation = str(release.get("operation") or "")
        if not is_operation(operation):
            return f"{release['model']} names no operation; set operation in its release"
        try:
            known = find_spec(operation.partition(":")[0]) is not None
        except ModuleNotFoundError:
            known = False
        if not known:
            return f"this build has no {operation}; mend operation in the release of {release['model']}"
        try:
            _bounds(release)
        except (KeyError, TypeError, ValueError) as error:
            return f"{release['model']} has no usable bounds ({error}); set bounds in its release"
        return None

    def tokens_at_most(self, question: Question) -> float:
        return 0.0

    def close(self) -> None:
        """Nothing is held: workers belong to compute."""


class _Run(threading.Thread):
    """One task, from its folder to its answer, whoever still wants that."""

    def __init__(self, compute: ComputePort, scratch: Path, question: Question) -> None:
        super().__init__(name=f"embedded {question.model}", daemon=True)
        self.ended = threading.Event()
        self.answer: Answer | None = None
        self.failure: CallFailure | None = None
        self._compute = compute
        self._scratch = scratch
        self._question = question

    def run(self) -> None:
        try:
            self.answer = self._answered()
        except CallFailure as failure:
            self.failure = failure
        except WorkFailure as failure:
            self.failure = _of_work(failure, self._question.model)
        except OSError as error:
            self.failure = Failed(f"the work of {self._question.model} could not be laid out: {error.strerror}")
        except Exception as error:  # noqa: BLE001  whoever waits has to hear of it
            self.failure = Faulty(f"{self._question.model} could not be asked: {error!r}")
        finally:
            self.ended.set()

    def _answered(self) -> Answer:
        question = self._question
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            payload, work = Path(folder) / "ask", Path(folder) / "work"
            payload.mkdir()
            work.mkdir()
            for role, path in question.payload.items():
                name = Path(role).name
                shutil.copyfile(path, payload / (name if Path(name).suffix else f"{name}{path.suffix}"))
            ask = Input("ask", payload, list_files(payload), facts={}, data_version="")
            task = Task(
                operation=str(question.release["operation"]),
                parameters={"ask": dict(question.parameters), "release": dict(question.release)},
                scratch=work,
                inputs={"ask": ask},
            )
            bounds = _bounds(question.release)
            wall_s = min(bounds.wall_s(question.media_s), question.deadline_s)
            bounds = Bounds(wall_s, 0.0, bounds.memory_mb, bounds.output_mb, attempts=1)
            done = self._compute.run(task, bounds, media_s=0.0, label=f"ask {question.task.value}")
            return _answer(done, task, question)


def _bounds(release: Mapping[str, Any]) -> Bounds:
    """The bounds a release states. Raises KeyError, TypeError, ValueError."""
    told = release["bounds"]
    return Bounds(
        wall_base_s=float(told["wall_base_s"]),
        wall_per_media_s=float(told["wall_per_media_s"]),
        memory_mb=int(told["memory_mb"]),
        output_mb=int(told.get("output_mb", 64)),
    )


def _answer(done: Done, task: Task, question: Question) -> Answer:
    """What the operation wrote. Raises Faulty, Vacuous."""
    result: Result = done.result
    body = written(task.out / ANSWER_FILE, question.model)
    format_ = result.facts.get("format")
    if not isinstance(format_, str) or not format_:
        raise Faulty(f"{question.model} did not say in which format it answers", cure="mend its operation")
    told = result.facts.get("usage")
    usage = told if isinstance(told, Mapping) else {}
    seconds = amount(usage.get("seconds"))
    return Answer(
        body=body,
        format=format_,
        usage=Usage(
            count(usage.get("tokens_in")),
            count(usage.get("tokens_out")),
            question.media_s if seconds is None else seconds,
        ),
        model=question.model,
    )


def written(path: Path, who: str) -> bytes:
    """The bytes of an answer's file, which a worker wrote and nobody vouches for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise Faulty(f"{who} left no answer", cure="mend its operation") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_ANSWER_BYTES:
            raise Faulty(f"{who} left no file of at most {MOST_ANSWER_BYTES >> 10} KiB", cure="mend its operation")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            body = file.read(MOST_ANSWER_BYTES)
    finally:
        os.close(descriptor)
    if not body.strip():
        raise Vacuous(f"{who} answered well, with nothing in it")
    return body


def _of_work(failure: WorkFailure, who: str) -> CallFailure:
    """What a task's failure means for the model."""
    if failure.kind is FailureKind.INTERRUPTED:
        return Cancelled(failure.cause, cure=failure.cure)
    if failure.kind is FailureKind.THROTTLED:
        return Refused(f"{who}: {failure.cause}", cure=failure.cure)
    if failure.kind in (FailureKind.TRANSIENT, FailureKind.SICK_WORKER, FailureKind.OUT_OF_BUDGET):
        return Failed(f"{who}: {failure.cause}", cure=failure.cure)
    return Faulty(f"{who}: {failure.cause}", cure=failure.cure)
