"""Where texts lie: a vector for each segment of the transcript and each line on screen, by which they are found.

Belongs here: which texts there are, asking, the files. Does not belong here: what a provider's answer looks like
(answers), which model (embeddings_plan), searching.

    embeddings.json  {"dimensions": n, "count": m, "file": "embeddings.f32", "texts": [{"of": "transcript", "entry": 3,
                      "track": 0, "start", "end", "timescale", "letters", "cut"}], ...}
    embeddings.f32   m vectors of n numbers, 32-bit floats, little endian, one after the other

An entry cites its text by artifact, place and span, and does not repeat it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processing.asking import Ask, AskTask
from processing.words.answers.vectors import read_vectors
from processing.words.corrections_plan import UNREVIEWED
from processing.words.embeddings_plan import SCREEN_TEXT, TRANSCRIPT
from processing.words.screen_text import read_document as read_screen_text
from processing.work import NOT_APPLICABLE, Input, Result, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LIST_FILE = "embeddings.json"
VECTORS_FILE = "embeddings.f32"
TEXTS = "texts.json"
TRANSCRIPT_FILE = "transcript.json"


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be placed, and where it stands: artifact, entry, track (of a transcript), span in ticks.

    Times are None for a line of a still. `cut` says that the text was longer than what was asked about.
    """

    of: str
    entry: int
    text: str
    start: int | None
    end: int | None
    timescale: int | None
    track: int | None = None
    cut: bool = False

    def to_json(self) -> dict[str, Any]:
        """The citation, without the text."""
        return {
            "of": self.of,
            "entry": self.entry,
            "track": self.track,
            "start": self.start,
            "end": self.end,
            "timescale": self.timescale,
            "letters": len(self.text),
            "cut": self.cut,
        }


def make(task: Task) -> Result:
    """Ask about texts, or write the files when every answer is there. Parameters: embeddings_plan.

    Inputs: `transcript` and `screen_text`, as far as there are any. Without a text the result has no file and says so.
    Raises ContractBroken for an answer that cannot be used.
    """
    texts = texts_of(task.inputs, task.parameters["rules"])
    if not texts:
        return Result(facts={NOT_APPLICABLE: "neither spoken nor written words are known of it"})
    groups = grouped(texts, int(task.parameters["rules"]["at_once"]))
    due = [number for number in range(len(groups)) if ask_name(number) not in task.inputs]
    if due:
        return Result(asks=tuple(_ask(number, groups[number], task) for number in due))
    vectors = vectors_in(groups, task)
    task.out.mkdir(parents=True, exist_ok=True)
    (task.out / VECTORS_FILE).write_bytes(vectors.tobytes())
    document = described(texts, vectors.shape[1], task.parameters)
    text = json.dumps(document, indent=1)
    (task.out / LIST_FILE).write_text(text + "\n", encoding="ascii", newline="\n")
    return Result(facts=facts_of(document))


def texts_of(inputs: Mapping[str, Input], rules: Mapping[str, int]) -> list[Text]:
    """Every text that gets a vector: segments first, then lines on screen; a text said twice in one place once."""
    found: list[Text] = []
    written: set[str] = set()
    for text in [*_segments(inputs.get(TRANSCRIPT), rules), *_lines(inputs.get(SCREEN_TEXT), rules)]:
        is_again = text.of == SCREEN_TEXT and text.text in written  # a logo in every shot is found by its first
        if len(text.text) >= rules["least_letters"] and not is_again:
            found.append(text)
            written.add(text.text)
    return found[: rules["most_texts"]]


def _segments(transcript: Input | None, rules: Mapping[str, int]) -> Iterator[Text]:
    """The segments of every track; each names its first word and how many it has."""
    if transcript is None or NOT_APPLICABLE in transcript.facts:
        return
    document = json.loads(transcript.path(TRANSCRIPT_FILE).read_bytes())
    for track in document["tracks"]:
        for number, segment in enumerate(track["segments"]):
            first = int(segment["first"])
            words = [str(word["text"]) for word in track["words"][first : first + int(segment["words"])]]
            whole = " ".join(" ".join(words).split())
            text, cut = _shortened(whole, rules)
            start, end, rate_hz = int(segment["start"]), int(segment["end"]), int(document["rate_hz"])
            yield Text(TRANSCRIPT, number, text, start, end, rate_hz, int(track["track"]), cut)


def _lines(screen_text: Input | None, rules: Mapping[str, int]) -> Iterator[Text]:
    if screen_text is None or NOT_APPLICABLE in screen_text.facts:
        return
    document = read_screen_text(screen_text.folder)
    for number, line in enumerate(document["lines"]):
        text, cut = _shortened(line["text"], rules)
        yield Text(SCREEN_TEXT, number, text, line["start"], line["end"], document["timescale"], None, cut)


def _shortened(text: str, rules: Mapping[str, int]) -> tuple[str, bool]:
    most = rules["most_letters"]
    return (text[:most], True) if len(text) > most else (text, False)


def grouped(texts: Sequence[Text], at_once: int) -> list[Sequence[Text]]:
    """Texts in groups, each of which is one question."""
    return [texts[first : first + at_once] for first in range(0, len(texts), at_once)]


def ask_name(number: int) -> str:
    """The name of the question about a group."""
    return f"vectors/{number:04d}"


def _ask(number: int, texts: Sequence[Text], task: Task) -> Ask:
    name = ask_name(number)
    folder = task.asks / name
    folder.mkdir(parents=True, exist_ok=True)
    content = {"texts": [each.text for each in texts]}
    (folder / TEXTS).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8", newline="\n")
    return Ask(name=name, task=AskTask.VECTORS, payload={TEXTS: f"{name}/{TEXTS}"})


def vectors_in(groups: Sequence[Sequence[Text]], task: Task) -> npt.NDArray[np.float32]:
    """All vectors, shape (texts, dimensions), little endian. Raises ContractBroken where answers differ in length."""
    import numpy as np

    from processing.words.answers.strict import broken

    answered = [read_vectors(task.inputs[ask_name(number)], len(group)) for number, group in enumerate(groups)]
    if len({vectors.shape[1] for vectors in answered}) != 1:
        raise broken("its vectors have other dimensions than those of the answer before")
    return np.concatenate(answered).astype("<f4")


def described(texts: Sequence[Text], dimensions: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """The document beside the vectors."""
    return {
        "file": VECTORS_FILE,
        "dimensions": dimensions,
        "count": len(texts),
        "model": told["model"],
        "ai_generated": True,
        "review": UNREVIEWED,
        "texts": [text.to_json() for text in texts],
    }


def facts_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of the document."""
    return {
        "file": LIST_FILE,
        "vectors": VECTORS_FILE,
        "dimensions": document["dimensions"],
        "count": document["count"],
        "ai_generated": True,
        "review": UNREVIEWED,
        "model": document["model"],
    }


def read_document(folder: Path) -> dict[str, Any]:
    """The document of `embeddings.json`."""
    document: dict[str, Any] = json.loads((folder / LIST_FILE).read_bytes())
    return document
