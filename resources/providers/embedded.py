"""Models that need no network: operations of this build, run by locked-down workers like any other work.

Belongs here: a question as a task, its end as an end of the port. Does not belong here: running tasks
(resources/compute) or the models (processing/words/embedded).

Of a release it reads "operation" ("processing.words.embedded.listening:answer") and "bounds", a mapping with
"wall_base_s", "wall_per_media_s", "memory_mb" and, if it likes, "output_mb". The operation gets the payload as its
input `ask`, the ask's parameters as `parameters["ask"]` and the release as `parameters["release"]`. Questions with the
same parameters that are asked at about the same time go to one worker where another operation answers several
(`TOGETHER`): its inputs are `ask-0`, `ask-1`..., its answers lie in folders of these names.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Mapping, Sequence
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
# Operations that answer several questions at once: what they load is loaded once for all of them.
TOGETHER: Mapping[str, str] = {
    "processing.words.embedded.reading:answer": "processing.words.embedded.reading:answers",
}
MOST_TOGETHER = 4  # half of what one derivative asks at a time: two cores have a round each
PAYLOAD = "ask"  # the input that is a question's payload
GATHER_S = 0.05  # a round waits so long for more


class Embedded(Provider):
    """Answers by workers of `compute`, with scratch folders of its own below `scratch`."""

    def __init__(self, compute: ComputePort, scratch: Path) -> None:
        self._compute = compute
        self._scratch = scratch
        self._lock = threading.Lock()
        self._gathered: dict[str, list[_Asked]] = {}  # by the release's digest and the questions' parameters

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        reason = self.unavailable(question.release)
        if reason is not None:
            raise Faulty(reason)
        if cancelled.is_set():
            raise Cancelled(f"the call of {question.model} was cancelled")
        asked = _Asked(question)
        if str(question.release["operation"]) in TOGETHER:
            self._gather(asked)
        else:
            self._begin([asked])
        # The worker's clock keeps the deadline: the wait for one of the machine's permits is not counted. It cannot be
        # called off; left alone it ends at its bound, and nobody reads it.
        while not asked.ended.wait(LOOK_S):
            if cancelled.is_set():
                raise Cancelled(f"the call of {question.model} was cancelled")
        if asked.failure is not None:
            raise asked.failure
        assert asked.answer is not None
        return asked.answer

    def _gather(self, asked: _Asked) -> None:
        """Let a question go with those that are asked in the same moment; the first of a round begins it."""
        key = json.dumps([asked.question.release["sha256"], dict(asked.question.parameters)], sort_keys=True)
        with self._lock:
            waiting = self._gathered.setdefault(key, [])
            waiting.append(asked)
            if len(waiting) == MOST_TOGETHER:
                self._begin(self._gathered.pop(key))
            elif len(waiting) == 1:
                timer = threading.Timer(GATHER_S, self._begin_gathered, (key, asked))
                timer.daemon = True
                try:
                    timer.start()
                except RuntimeError:  # no more threads: nobody else comes to begin it
                    self._begin(self._gathered.pop(key))

    def _begin_gathered(self, key: str, first: _Asked) -> None:
        with self._lock:
            waiting = self._gathered.get(key, [])
            if waiting[:1] == [first]:
                self._begin(self._gathered.pop(key))

    def _begin(self, round_: list[_Asked]) -> None:
        try:
            _Round(self._compute, self._scratch, round_).start()
        except RuntimeError as error:
            for each in round_:
                each.end(Failed(f"the work of {each.question.model} could not be begun: {error}"))

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


class _Asked:
    """One question and what came of it, once `ended` is set."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.ended = threading.Event()
        self.answer: Answer | None = None
        self.failure: CallFailure | None = None

    def end(self, answer: Answer | CallFailure) -> None:
        """It is answered, or failed."""
        if isinstance(answer, CallFailure):
            self.failure = answer
        else:
            self.answer = answer
        self.ended.set()


class _Round(threading.Thread):
    """One task for questions of one release, from its folder to their answers, whoever still wants those.

    Where several cannot be answered together, each is asked alone: one bad picture keeps no other from its answer.
    """

    def __init__(self, compute: ComputePort, scratch: Path, asked: Sequence[_Asked]) -> None:
        super().__init__(name=f"embedded {asked[0].question.model}", daemon=True)
        self._compute = compute
        self._scratch = scratch
        self._asked = asked

    def run(self) -> None:
        found: Sequence[Answer | CallFailure]
        try:
            found = self._answers()
        except (WorkFailure, OSError) as error:
            if len(self._asked) > 1:
                for each in self._asked:
                    _Round(self._compute, self._scratch, [each]).run()
                return
            found = [_failure(error, self._asked[0].question.model)]
        except Exception as error:  # noqa: BLE001  whoever waits has to hear of it
            found = [Faulty(f"{each.question.model} could not be asked: {error!r}") for each in self._asked]
        for each, answer in zip(self._asked, found, strict=True):
            each.end(answer)

    def _answers(self) -> list[Answer | CallFailure]:
        first = self._asked[0].question
        operation, is_alone = str(first.release["operation"]), len(self._asked) == 1
        names = [PAYLOAD] if is_alone else [f"{PAYLOAD}-{number}" for number in range(len(self._asked))]
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            work = Path(folder) / "work"
            work.mkdir()
            asks = {
                name: _laid_out(each.question, name, Path(folder) / name)
                for name, each in zip(names, self._asked, strict=True)
            }
            task = Task(
                operation=operation if is_alone else TOGETHER[operation],
                parameters={"ask": dict(first.parameters), "release": dict(first.release)},
                scratch=work,
                inputs=asks,
            )
            done = self._compute.run(task, self._bounds(), media_s=0.0, label=f"ask {first.task.value}")
            outs = [task.out if is_alone else task.out / name for name in names]
            return [_read(done, out, each.question) for out, each in zip(outs, self._asked, strict=True)]

    def _bounds(self) -> Bounds:
        """Those of all of them: one after another they take as long as each by itself."""
        questions = [each.question for each in self._asked]
        told = _bounds(questions[0].release)
        wall_s = sum(min(told.wall_s(each.media_s), each.deadline_s) for each in questions)
        return Bounds(wall_s, 0.0, told.memory_mb, told.output_mb, attempts=1)


def _laid_out(question: Question, name: str, folder: Path) -> Input:
    """The payload of a question as an input of a task."""
    folder.mkdir()
    for role, path in question.payload.items():
        bare = Path(role).name
        shutil.copyfile(path, folder / (bare if Path(bare).suffix else f"{bare}{path.suffix}"))
    return Input(name, folder, list_files(folder), facts={}, data_version="")


def _read(done: Done, out: Path, question: Question) -> Answer | CallFailure:
    try:
        return _answer(done, out, question)
    except CallFailure as failure:
        return failure


def _failure(error: WorkFailure | OSError, who: str) -> CallFailure:
    if isinstance(error, WorkFailure):
        return _of_work(error, who)
    return Failed(f"the work of {who} could not be laid out: {error.strerror}")


def _bounds(release: Mapping[str, Any]) -> Bounds:
    """The bounds a release states. Raises KeyError, TypeError, ValueError."""
    told = release["bounds"]
    return Bounds(
        wall_base_s=float(told["wall_base_s"]),
        wall_per_media_s=float(told["wall_per_media_s"]),
        memory_mb=int(told["memory_mb"]),
        output_mb=int(told.get("output_mb", 64)),
    )


def _answer(done: Done, out: Path, question: Question) -> Answer:
    """What the operation wrote. Raises Faulty, Vacuous."""
    result: Result = done.result
    body = written(out / ANSWER_FILE, question.model)
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
