"""The golden sets: items with their truth, by which releases of models are compared and gated.

Belongs here: reading the manifest, checking what it names, an item as an ask. Does not belong here: scoring answers
(scoring), comparing scores (compare), making the set (benchmarks/golden).

Items lie in `golden/<task>/`; `manifest.json` holds of each its file, sha256, language, truth, licence and origin.
Captions are made by rules, not by a model: their set is a task of its own, "captions".
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.asking import Ask, AskTask
from processing.recipe import canonical

RATE_HZ = 16_000
FOLDER = Path(__file__).parent / "golden"
MANIFEST = "manifest.json"
LICENCES = "licences"
TASKS = (*(task.value for task in AskTask), "captions")
LEAST_ITEMS = 30  # of each task: with fewer a comparison is nearly always undecided
AUDIO, PICTURE, TEXTS = "audio.flac", "picture.png", "texts.json"  # roles of payloads


class GoldenError(ValueError):
    """A golden set that is not what was released. The text names the item."""


@dataclass(frozen=True, slots=True)
class Item:
    """`path` is an item's file, `truth` what is right: of speech and reading a text, "" for nothing; of labels JSON.

    The truth of writing, vectors and captions stands in the file (`document`). `samples` is how long sound lasts at
    16 kHz.
    """

    id: str
    task: str
    language: str | None
    path: Path
    sha256: str
    truth: str
    samples: int
    licence: str
    origin: str

    @property
    def media_s(self) -> float:
        """How long its sound lasts in seconds."""
        return self.samples / RATE_HZ

    def document(self) -> dict[str, Any]:
        """What the file of an item of writing, vectors or captions says."""
        found: dict[str, Any] = json.loads(self.path.read_bytes())
        return found

    def told(self) -> dict[str, Any]:
        """What must be known of it to read an answer (processing/words/examined)."""
        if self.task == AskTask.SPEECH:
            return {"task": self.task, "samples": self.samples}
        if self.task == AskTask.VECTORS:
            document = self.document()
            return {"task": self.task, "texts": len(document["texts"]), "near": document["near"]}
        from PIL import Image

        with Image.open(self.path) as picture:
            return {"task": self.task, "size": list(picture.size)}


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The items of one task in order. `digest` (sha256, hex) names this state of them in every score."""

    task: str
    version: str
    digest: str
    items: tuple[Item, ...]


def golden_set(task: str, folder: Path = FOLDER) -> GoldenSet:
    """The set of one of `TASKS`, every file compared with its digest. Raises GoldenError."""
    if task not in TASKS:
        raise GoldenError(f"there is no golden set {task!r}; there are {', '.join(TASKS)}")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    listed = [entry for entry in manifest["items"] if entry["task"] == task]
    items = tuple(_item(entry, folder) for entry in listed)
    if len(items) < LEAST_ITEMS:
        raise GoldenError(f"the golden set {task} has {len(items)} items, fewer than {LEAST_ITEMS}")
    return GoldenSet(task, manifest["version"], hashlib.sha256(canonical(listed)).hexdigest(), items)


def _item(entry: Mapping[str, Any], folder: Path) -> Item:
    path = folder / entry["file"]
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GoldenError(f"the golden item {entry['id']} is missing: {error.strerror}") from None
    if found != entry["sha256"]:
        raise GoldenError(f"the golden item {entry['id']} is not what was released: its sha256 is {found}")
    if not entry["licence"]:
        raise GoldenError(f"the golden item {entry['id']} has no licence")
    return Item(
        id=entry["id"],
        task=entry["task"],
        language=entry["language"],
        path=path,
        sha256=entry["sha256"],
        truth=entry["truth"],
        samples=entry["samples"],
        licence=entry["licence"],
        origin=entry["origin"],
    )


def ask_of(item: Item, folder: Path, prompts: Mapping[str, Any]) -> Ask:
    """An item as the ask that an operation would make of it, its payload below `folder`; `prompts` are those in use.

    Items of writing are asked by the operation itself (processing/words/summary), step by step.
    """
    from processing.words import labels, labels_plan, screen_text, screen_text_plan

    name = f"golden/{item.id}"
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    task = AskTask(item.task)
    if task is AskTask.SPEECH:
        shutil.copyfile(item.path, place / AUDIO)
        return Ask(name, task, {"language": item.language}, {AUDIO: f"{name}/{AUDIO}"}, media_s=item.media_s)
    if task is AskTask.VECTORS:
        (place / TEXTS).write_text(json.dumps({"texts": item.document()["texts"]}), encoding="utf-8")
        return Ask(name, task, payload={TEXTS: f"{name}/{TEXTS}"})
    shutil.copyfile(item.path, place / PICTURE)
    if task is AskTask.READING:
        return screen_text.QUESTIONS.about(name, screen_text_plan.prompt({"prompts": prompts}))
    return labels.QUESTIONS.about(name, labels_plan.prompt({"prompts": prompts}))
