"""The port behind which models answer: a question goes in, the raw bytes of an answer come out.

Belongs here: the interface every provider implements, its types, and how a call can end. Does not belong here: any one
provider, who may call it now (resources/gateway), or what an answer means (processing/words/answers).

A provider tries once. Whether to try again, and when, is decided by one layer only, the gateway.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from processing.asking import AskTask

WITHOUT_FAULT = "Your answer to this before could not be used; answer again without this fault:"
ASKERS_FAULT = "this is a fault of the operation that asked"
MOST_ANSWER_BYTES = 32 << 20  # 256 vectors of 3072 numbers are 16 MB; anything else is far smaller


@dataclass(frozen=True, slots=True)
class Question:
    """One question to one release of a model.

    `release` says which model and where: "id", "version", "sha256", "provider", "model", and what its provider needs
    besides (each provider's module lists it). `parameters` are the ask's own; those every provider understands are
    "language" (BCP 47, absent or empty where it is not known), "prompt" (a text, or a mapping with its "text"),
    "schema" (a JSON schema) and "fault" (what was wrong with the answer before). `payload` maps a role ("audio.flac")
    to a readable file. `deadline_s` is how long the call may take, all in all, without the wait for a place on this
    machine. `idempotency_key` is the same whenever the same is asked.
    """

    task: AskTask
    release: Mapping[str, Any]
    parameters: Mapping[str, Any]
    payload: Mapping[str, Path]
    idempotency_key: str
    deadline_s: float
    media_s: float = 0.0
    most_tokens: int = 0

    def __post_init__(self) -> None:
        if self.deadline_s <= 0:
            raise ValueError("deadline_s must be positive: a call without a deadline cannot be made")

    @property
    def model(self) -> str:
        """The model's name as its provider knows it."""
        return str(self.release["model"])

    @property
    def language(self) -> str:
        """The language asked for, empty where it is not known."""
        return str(self.parameters.get("language") or "")

    @property
    def prompt(self) -> str:
        """The instruction, empty where there is none; of what is asked again, with what was wrong before."""
        prompt = self.parameters.get("prompt") or ""
        told = str(prompt["text"]) if isinstance(prompt, Mapping) else str(prompt)
        fault = self.parameters.get("fault")
        return f"{told}\n{WITHOUT_FAULT} {fault}" if fault else told

    def file(self, stem: str) -> Path:
        """The payload whose role has this stem ("audio" of "audio.flac"). Raises Faulty where there is none."""
        for role, path in self.payload.items():
            if PurePosixPath(role).stem == stem:
                return path
        raise Faulty(f"a question of {self.task.value} came without its {stem}", cure=ASKERS_FAULT)

    def content(self, stem: str) -> bytes:
        """The bytes of a payload. Raises Faulty where they cannot be read."""
        try:
            return self.file(stem).read_bytes()
        except OSError as error:
            raise Faulty(
                f"the {stem} of a question cannot be read: {error.strerror}", cure="look at the disk"
            ) from error

    def written(self, stem: str) -> str:
        """The text of a payload. Raises Faulty for what is none."""
        try:
            return self.content(stem).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Faulty(f"the {stem} of a question is no text in UTF-8", cure=ASKERS_FAULT) from error

    def texts(self) -> list[str]:
        """The texts of a question for vectors: a JSON list of texts, or an object with it as "texts"."""
        try:
            found = json.loads(self.written("texts"))
        except ValueError:
            found = None
        found = found.get("texts") if isinstance(found, dict) else found
        if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
            raise Faulty("a question for vectors holds no list of texts", cure=ASKERS_FAULT)
        return found

    @property
    def options(self) -> dict[str, Any]:
        """What the release says besides, for the request."""
        return dict(self.release.get("options") or {})


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, as far as the provider says: tokens in and out, seconds of media. None is not said."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None

    @property
    def tokens(self) -> int | None:
        """All tokens of the call, None where nobody counted."""
        if self.tokens_in is None and self.tokens_out is None:
            return None
        return (self.tokens_in or 0) + (self.tokens_out or 0)

    def to_json(self) -> dict[str, Any]:
        return {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `body` byte for byte, in which `format` ("openai.verbose_json.v1"), and what it used.

    `request_id` and `model` are as the provider reports them, empty where it does not.
    """

    body: bytes
    format: str
    usage: Usage = field(default_factory=Usage)
    request_id: str = ""
    model: str = ""


class CallFailure(Exception):
    """A call that brought no answer: `cause` is what happened and `cure` what to do, for a person.

    `retry_after_s` is the provider's own word on when to come back; `usage` is what the call is charged for anyway.
    """

    def __init__(
        self, cause: str, *, cure: str = "", retry_after_s: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(cause)
        self.cause = " ".join(cause.split())
        self.cure = " ".join(cure.split())
        self.retry_after_s = retry_after_s
        self.usage = usage or Usage()

    @property
    def sentence(self) -> str:
        """Cause and cure as one sentence."""
        return f"{self.cause}; {self.cure}" if self.cure else self.cause


class Refused(CallFailure):
    """A limit of theirs said no (429, 503 with a time to come back, throttling): later it may well say yes."""


class Failed(CallFailure):
    """They failed: an error of theirs, a connection cut, half an answer, none in time."""


class Faulty(CallFailure):
    """The fault is ours (key, model, request, set-up): the same call fails again; it says nothing of their health."""


class Vacuous(CallFailure):
    """They said that all went well and answered nothing: no bytes, no text, or what is not JSON at all.

    `answer` is there where it is well formed and says nothing: whoever asked may know that there was nothing to say.
    """

    answer: Answer | None = None

    @classmethod
    def with_answer(cls, cause: str, answer: Answer) -> Vacuous:
        """The failure of a well-formed answer that says nothing; what it was charged for goes along."""
        failure = cls(cause, usage=answer.usage)
        failure.answer = answer
        return failure


class Cancelled(CallFailure):
    """Whoever asked no longer wants the answer; it says nothing of anybody's health."""


class Provider(ABC):
    """Answers questions. Safe to call from several threads at once; keeps nothing of a question."""

    @abstractmethod
    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        """The answer, after one try. Ends soon after `cancelled` is set, and at the deadline. Raises a CallFailure."""

    @abstractmethod
    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        """Why nothing can be asked of this release here: one sentence with what mends it; None where it can be.

        Asks nobody: it looks at settings, keys, files and what is installed.
        """

    @abstractmethod
    def tokens_at_most(self, question: Question) -> float:
        """How many tokens a call can be charged for: the prompt, never estimated too low, and the longest answer.

        Raises Faulty where the payload cannot be read.
        """

    def requests_of(self, question: Question) -> int:
        """How many calls of what its limits count an answer takes."""
        return 1

    @abstractmethod
    def close(self) -> None:
        """Leave no process and no connection behind. May be called twice."""
