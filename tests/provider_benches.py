"""Each provider with the means to make its other side misbehave: what the contract suite needs to try it.

Belongs here: setting up implementations, ordering behaviours, counting what was asked. Does not belong here:
assertions (test_providers).
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from resources.compute.local import LocalCompute
from resources.providers.aws import Aws
from resources.providers.embedded import Embedded
from resources.providers.openai_http import OpenAiHttp
from resources.providers.port import Answer, Provider, Question
from resources.providers.whisper_local import WhisperLocal
from tests.media import make_audio, make_still
from tests.provider_server import ProviderServer
from tests.standins.faster_whisper import MAGIC

KEY = "sk-test-key-of-a-provider"
SOUND_S = 2


def listing(name: str) -> dict[str, Any]:
    """The schema of an object with one list of texts."""
    items = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "properties": {name: items}, "required": [name], "additionalProperties": False}


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "points": {"type": "array", "items": {"type": "string"}}},
    "required": ["title", "points"],
    "additionalProperties": False,
}
INSTRUCTIONS = {
    AskTask.WRITING: {"prompt": {"text": "Say what matters."}, "schema": SCHEMA},
    AskTask.READING: {"prompt": "Copy every line.", "schema": listing("lines")},
    AskTask.LABELS: {"prompt": "Name what is to be seen.", "schema": listing("labels")},
}


def payload(folder: Path) -> dict[str, Path]:
    """A file of each role."""
    folder.mkdir(parents=True, exist_ok=True)
    make_audio(folder / "audio.flac", duration_s=SOUND_S, rate_hz=16_000, codec="flac", container="flac")
    make_still(folder / "picture.png", width=64, height=48)
    (folder / "material.json").write_text(
        json.dumps({"words": ["ein Fluß", "a mill"]}, ensure_ascii=False), encoding="utf-8"
    )
    (folder / "texts.json").write_text(
        json.dumps(["ein Fluß", "a mill", "bread"], ensure_ascii=False), encoding="utf-8"
    )
    return {path.name: path for path in sorted(folder.iterdir())}


class Bench(ABC):
    """One implementation under test. `can` are the behaviours its other side has; `formats` those of its answers."""

    can: frozenset[str]
    format: str
    deadline_s = 0.8  # in tests of the deadline

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.payload = payload(folder / "payload")
        self.provider = self.opened()

    @abstractmethod
    def opened(self) -> Provider:
        """The provider."""

    @abstractmethod
    def question(self) -> Question:
        """What it is asked; everything is set up for it."""

    @abstractmethod
    def behave(self, behaviour: str) -> None:
        """How the other side treats calls from now on."""

    @abstractmethod
    def asked(self) -> int:
        """How many calls the other side got."""

    def end(self) -> None:
        """Leave nothing behind."""
        self.provider.close()

    def sent(self) -> list[str] | None:
        """The bodies the other side sent last, where it remembers."""
        return None

    def ask(self, *, deadline_s: float = 20.0, cancelled: threading.Event | None = None, **changes: Any) -> Answer:
        question = replace(self.question(), deadline_s=deadline_s, **changes)
        return self.provider.answer(question, cancelled or threading.Event())


HTTP = frozenset(
    {"refused", "refused_hint", "unavailable_hint", "failed", "reset", "half", "slow", "drip", "huge", "key", "model"}
)
ORDERS = {"refused": "429", "refused_hint": "429:7", "unavailable_hint": "503:7", "failed": "500", "slow": "slow:30"}


class _OverHttp(Bench):
    """What the server of tests serves."""

    task: AskTask

    def __init__(self, folder: Path, server: ProviderServer) -> None:
        self.server = server
        server.reset()
        super().__init__(folder)

    def behave(self, behaviour: str) -> None:
        if behaviour == "key":
            self.server.control(key="another key")
        elif behaviour == "model":
            self.server.control(behaviour="404")
        else:
            self.server.control(behaviour=ORDERS.get(behaviour, behaviour))

    def asked(self) -> int:
        return max(self.server.seen()["by_operation"].values(), default=0)

    def sent(self) -> list[str]:
        return list(self.server.seen()["sent"])

    def made(self, release: Mapping[str, Any]) -> Question:
        return Question(
            task=self.task,
            release={"id": "a-release", "version": "1", "sha256": "", "model": "a-model", **release},
            parameters={"language": "en", **INSTRUCTIONS.get(self.task, {})},
            payload=self.payload,
            idempotency_key="the-key-of-a-question",
            deadline_s=20.0,
            media_s=float(SOUND_S),
            most_tokens=200,
        )


class OpenAiBench(_OverHttp):
    can = HTTP | {"empty", "empty_body", "not_json"}

    def opened(self) -> Provider:
        return OpenAiHttp()

    def question(self) -> Question:
        return self.made({"base_url": self.server.url, "key_env": "PROVIDER_KEY", "dimensions": 32})


class OpenAiSpeech(OpenAiBench):
    task, format = AskTask.SPEECH, "openai.verbose_json.v1"


class OpenAiReading(OpenAiBench):
    task, format = AskTask.READING, "openai.vision.v1"


class OpenAiWriting(OpenAiBench):
    task, format = AskTask.WRITING, "openai.chat_json.v1"


class OpenAiVectors(OpenAiBench):
    task, format = AskTask.VECTORS, "openai.embeddings.v1"


class OpenAiLabels(OpenAiBench):
    task, format = AskTask.LABELS, "openai.vision_labels.v1"


@cache
def shared_aws() -> Aws:
    """One for all tests of a process."""
    return Aws()


class AwsBench(_OverHttp):
    can = HTTP | {"empty", "empty_body", "not_json"}

    def opened(self) -> Provider:
        return shared_aws()

    def end(self) -> None:
        """Its clients stay for the next: reading the descriptions of a service takes a third of a second."""

    def question(self) -> Question:
        where = {"base_url": self.server.address, "region": "eu-west-1", "bucket": "a-bucket"}
        return self.made({**where, "language_codes": {"en": "en-US"}, "dimensions": 256})


class AwsSpeech(AwsBench):
    task, format = AskTask.SPEECH, "aws.transcribe.v1"
    can = HTTP | {"empty"}  # what a start answers is not the answer


class AwsReading(AwsBench):
    task, format = AskTask.READING, "aws.textract.v1"


class AwsWriting(AwsBench):
    task, format = AskTask.WRITING, "bedrock.converse.v1"


class AwsVectors(AwsBench):
    task, format = AskTask.VECTORS, "bedrock.titan_embedding.v1"


class AwsLabels(AwsBench):
    task, format = AskTask.LABELS, "aws.rekognition.v1"


class EmbeddedBench(Bench):
    can = frozenset({"refused", "failed", "sick", "slow", "model", "empty_body"})
    format = "embedded.v1"
    deadline_s = 2.0  # the nursery may have to start first

    def __init__(self, folder: Path, compute: LocalCompute, attempts: list[Any]) -> None:
        self.compute = compute
        self.attempts = attempts
        self.behaviour = ""
        attempts.clear()
        super().__init__(folder)

    def opened(self) -> Provider:
        return Embedded(self.compute, self.folder / "scratch")

    def question(self) -> Question:
        operation = "absent" if self.behaviour == "model" else "answering"
        return Question(
            task=AskTask.SPEECH,
            release={
                "id": "an-ear",
                "model": "an-ear",
                "operation": f"processing.{operation}:answer",
                "bounds": {"wall_base_s": 20, "wall_per_media_s": 1, "memory_mb": 300},
            },
            parameters={"behaviour": self.behaviour},
            payload=self.payload,
            idempotency_key="the-key-of-a-question",
            deadline_s=20.0,
            media_s=float(SOUND_S),
        )

    def behave(self, behaviour: str) -> None:
        self.behaviour = behaviour

    def asked(self) -> int:
        return len(self.attempts)


class WhisperBench(Bench):
    """With a stand-in for the package, in a process of its own."""

    can = frozenset({"failed", "reset", "slow", "model", "empty"})
    format = "whisper.v1"
    deadline_s = 2.0  # the process has to start first

    def opened(self) -> Provider:
        self.model = self.folder / "model"
        self.model.mkdir(parents=True)
        (self.model / "model.bin").write_bytes(MAGIC)
        for name in ("config.json", "tokenizer.json", "vocabulary.json"):
            (self.model / name).write_text("{}", encoding="utf-8")
        return WhisperLocal()

    def question(self) -> Question:
        return Question(
            task=AskTask.SPEECH,
            release={"id": "whisper", "model": "whisper-small", "directory": str(self.model)},
            parameters={"language": "en"},
            payload=self.payload,
            idempotency_key="the-key-of-a-question",
            deadline_s=20.0,
            media_s=float(SOUND_S),
        )

    def behave(self, behaviour: str) -> None:
        if behaviour == "model":
            (self.model / "model.bin").unlink()
        (self.model / "behaviour").write_text(behaviour, encoding="utf-8")

    def asked(self) -> int:
        asked = self.model / "asked"
        return len(asked.read_text(encoding="utf-8").splitlines()) if asked.exists() else 0


OVER_HTTP: tuple[type[_OverHttp], ...] = (
    OpenAiSpeech,
    OpenAiReading,
    OpenAiWriting,
    OpenAiVectors,
    OpenAiLabels,
    AwsSpeech,
    AwsReading,
    AwsWriting,
    AwsVectors,
    AwsLabels,
)
BENCHES: tuple[type[Bench], ...] = (*OVER_HTTP, EmbeddedBench, WhisperBench)
