"""Whisper on this machine, from a folder that holds its model: speech, by the package `faster-whisper`.

Belongs here: the process the model lives in, as it is held from outside. Does not belong here: what happens in it
(whisper_process) or reading what it heard (processing/words/answers).

The package is the extra `whisper`; nothing here imports it. Loading a model takes seconds, so its process stays for
the next question; a call that is cancelled or late kills it. It answers one question at a time. On the processor it
waits for one of the machine's permits, and takes those that nobody wants for its further threads.

Of a release it reads "directory" (the model's folder), "sha256" (of its `model.bin`; empty: not looked at), "device",
"compute_type", "threads" (0: all cores), and "options", what `transcribe` is told besides.
"""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from processing.failures import Interrupted
from resources.compute.port import ComputePort
from resources.providers.bodies import amount, at, parsed
from resources.providers.port import (
    MOST_ANSWER_BYTES,
    Answer,
    CallFailure,
    Cancelled,
    Failed,
    Faulty,
    Provider,
    Question,
    Usage,
    Vacuous,
)
from resources.releases.availability import missing_of

FORMAT = "whisper.v1"
LOOK_S = 0.05  # how late a call may end
MOST_HEAD_BYTES = 64 << 10  # of what its process says of an answer: a cause and a cure
ROOT = Path(__file__).parents[2]  # where `resources` is found
INSTALL = "pip install 'sourcebound[whisper]'"


class WhisperLocal(Provider):
    """One process a model; questions to the same model wait for each other. Without `compute` it takes no permit."""

    def __init__(self, compute: ComputePort | None = None) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        if question.task is not AskTask.SPEECH:
            raise Faulty(f"{question.model} hears speech, nothing else", cure="mend the task of its release")
        reason = self.unavailable(question.release)
        if reason is not None:
            raise Faulty(reason)
        told = _setup(question.release)
        with self._lock:
            model = self._models.setdefault(json.dumps(told, sort_keys=True), _Model(told, question.model))
        body = model.ask(_asked(question), _Patience(question, cancelled), lambda: self._cores(told, cancelled))
        answered = parsed(body, question.model)
        answer = Answer(body, FORMAT, Usage(seconds=amount(at(answered, "duration"))), model=question.model)
        if not any(_text_of(segment).strip() for segment in at(answered, "segments") or []):
            raise Vacuous.with_answer(f"{question.model} heard nothing that can be written down", answer)
        return answer

    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        who = release["model"]
        if find_spec("faster_whisper") is None:
            return f"{who} needs the package faster-whisper; {INSTALL}"
        if not release.get("directory"):
            return f"{who} has no folder; set directory in its release"
        folder = Path(str(release["directory"]))
        missing = missing_of(folder)
        if missing:
            return f"{folder} holds no whole model: {', '.join(missing)} missing; {_download(folder)}"
        return None

    def tokens_at_most(self, question: Question) -> float:
        return 0.0

    @contextmanager
    def _cores(self, told: Mapping[str, Any], cancelled: threading.Event) -> Iterator[None]:
        """Permits for the cores that an answer keeps busy. Raises Cancelled."""
        with ExitStack() as held:
            if self._compute is not None and told["device"] == "cpu":
                try:
                    held.enter_context(self._compute.permit(cancelled.is_set))
                except Interrupted as stop:
                    raise Cancelled(stop.cause, cure=stop.cure) from None
                for _ in range((told["threads"] or len(os.sched_getaffinity(0))) - 1):
                    held.enter_context(self._compute.spare_permit())
            yield

    def close(self) -> None:
        with self._lock:
            models, self._models = list(self._models.values()), {}
        for model in models:
            model.end()


def _text_of(segment: Any) -> str:
    """The text of a segment, empty for what is none."""
    told = at(segment, "text")
    return told if isinstance(told, str) else ""


def _download(folder: Path) -> str:
    return f"hf download Systran/faster-whisper-small --local-dir '{folder}'"


def _setup(release: Mapping[str, Any]) -> dict[str, Any]:
    """What the process is told once."""
    return {
        "directory": str(release["directory"]),
        "sha256": str(release.get("sha256") or ""),
        "device": str(release.get("device", "cpu")),
        "compute_type": str(release.get("compute_type", "int8")),
        "threads": int(release.get("threads", 0)),
    }


def _asked(question: Question) -> dict[str, Any]:
    """What the process is told for a question."""
    return {
        "audio": str(question.file("audio")),
        "language": question.language.partition("-")[0] or None,
        "prompt": question.prompt or None,
        "options": question.options,
    }


class _Patience:
    """How long a question waits, and who may end that. The deadline counts from its turn on."""

    def __init__(self, question: Question, cancelled: threading.Event) -> None:
        self.who = question.model
        self._deadline_s = question.deadline_s
        self._until = math.inf
        self._cancelled = cancelled

    def begin(self) -> None:
        """It is this question's turn."""
        self._until = time.monotonic() + self._deadline_s

    def require(self) -> None:
        """Raises Cancelled, or Failed at the deadline."""
        if self._cancelled.is_set():
            raise Cancelled(f"the call of {self.who} was cancelled")
        if time.monotonic() > self._until:
            raise Failed(f"{self.who} did not answer within {self._deadline_s:g} s")


class _Model:
    """The process of one model, started when first asked and again after it was killed."""

    def __init__(self, told: Mapping[str, Any], who: str) -> None:
        self._told = told
        self._who = who
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(
        self, asked: Mapping[str, Any], patience: _Patience, cores: Callable[[], AbstractContextManager[None]]
    ) -> bytes:
        """The answer's bytes. Raises a CallFailure; whatever cuts a call off ends the process with it."""
        while not self._turn.acquire(timeout=LOOK_S):
            patience.require()
        try:
            with cores():
                patience.begin()
                patience.require()
                return self._exchange(asked, patience)
        except (Cancelled, Failed):
            self.end()
            raise
        finally:
            self._turn.release()

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _exchange(self, asked: Mapping[str, Any], patience: _Patience) -> bytes:
        process = self._living()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._died(process) from None
        head = json.loads(self._line(process, patience))
        if head["kind"] == "faulty":
            cure = head["cure"] or _download(Path(str(self._told["directory"])))
            raise Faulty(f"{self._who} {head['cause']}", cure=cure)
        if head["kind"] == "failed":
            raise Failed(f"{self._who} {head['cause']}")
        size = int(head["bytes"])
        if size > MOST_ANSWER_BYTES:
            raise Failed(f"{self._who} answered with more than {MOST_ANSWER_BYTES >> 10} KiB")
        body = bytearray()
        while len(body) < size:
            body += self._block(process, patience, size - len(body))
        return bytes(body)

    def _living(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "resources.providers.whisper_process", str(os.getpid()), json.dumps(self._told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                start_new_session=True,  # a Ctrl-C on the terminal is for the owner alone
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], patience: _Patience) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._block(process, patience, 1)  # the body follows at once, and is not to be read with it
            if len(line) > MOST_HEAD_BYTES:
                raise Failed(f"{self._who} said what cannot be understood")
        return bytes(line)

    def _block(self, process: subprocess.Popen[bytes], patience: _Patience, most: int) -> bytes:
        """Up to `most` bytes, as soon as there are any."""
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(LOOK_S * 1000):
            patience.require()
        block = os.read(descriptor, min(most, 1 << 16))
        if not block:
            raise self._died(process)
        return block

    def _died(self, process: subprocess.Popen[bytes]) -> CallFailure:
        return Failed(f"the process of {self._who} died ({process.wait()})")
