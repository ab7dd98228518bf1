"""How well releases do on the golden sets: answers against truth, item by item, as tables.

Belongs here: the measures, the table and its file. Does not belong here: getting answers (resources/gateway), the sets
(golden_sets), deciding between releases (compare).

Every measure counts errors out of a total, so that less is better for all of them and items can be added up:

| task | measure | errors | of |
|---|---|---|---|
| speech | word_errors | substituted, deleted, inserted words | words said |
| | invented_words | words heard where nobody speaks | items without speech, each 1 |
| reading | character_errors | substituted, deleted, inserted characters | characters shown |
| | invented_characters | characters read where there is no text | items without text, each 1 |
| vectors | misplaced_texts | texts about something else that lie no farther off than one about the same | such texts |
| labels | missed_things | things that are to be seen and that no label names | things |
| | invented_people | people or faces where there are none | items without people, each 1 |
| | false_alarms | findings for a moderator, all items being harmless | items where it was looked for, each 1 |
| writing | unfaithful_words | words of the abstract that are not in what it cites | its words that say something |
| | idle_sentences | sentences of the abstract that rest on none that matters | its sentences |
| | untold_topics | topics that no sentence of the abstract rests on | topics |
| | missed_breaks | beginnings of topics where no chapter begins, one sentence off allowed | topics but the first |
| | false_breaks | chapters that begin elsewhere | chapters but the first |
| captions | broken_rules | rules that a cue breaks | cues, each 1 |
| | lost_words | words that are not shown, or not in order | words said |
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processing.asking import AskTask
from processing.webvtt import Cue
from processing.words import normaliser
from processing.words.wording import stem, supported_share, tokens
from resources.releases.golden_sets import GoldenSet, Item

if TYPE_CHECKING:
    import pandas as pd

MS = 1000
PEOPLE = ("person", "people", "man", "woman", "boy", "girl", "face", "human")
NEAR = 1  # sentences: a chapter that begins so near to a topic begins with it
PARQUET_ENGINES = ("pyarrow", "fastparquet")


@dataclass(frozen=True, slots=True)
class Score:
    """One measure of one item: errors out of a total."""

    item: str
    language: str
    measure: str
    errors: float
    total: float


def speech_scores(item: Item, heard: str | None) -> list[Score]:
    """What a recogniser heard (its words, parted by spaces) against what is said."""
    said = normaliser.normalised(item.truth, item.language)
    found = normaliser.normalised(heard or "", item.language)
    if not said:
        return [_score(item, "invented_words", len(found.split()), 1)]
    return [_score(item, "word_errors", word_errors(said, found), len(said.split()))]


def reading_scores(item: Item, read: str | None) -> list[Score]:
    """What a reader read (its lines, parted by spaces) against what is shown."""
    shown, found = normaliser.written_alike(item.truth), normaliser.written_alike(read or "")
    if not shown:
        return [_score(item, "invented_characters", len(found), 1)]
    return [_score(item, "character_errors", character_errors(shown, found), len(shown))]


def vectors_scores(item: Item, nearer: int | None) -> list[Score]:
    """How many texts about something else are no farther off than the one about the same."""
    others = len(item.document()["texts"]) - 2
    return [_score(item, "misplaced_texts", others if nearer is None else nearer, others)]


def labels_scores(item: Item, seen: Mapping[str, Any] | None) -> list[Score]:
    """What was seen ("names", "faces", "moderation") against the things and people that are there."""
    truth = json.loads(item.truth)
    names = [f" {' '.join(map(stem, tokens(name)))} " for name in (seen["names"] if seen else ())]
    missed = sum(not any(_is_named(thing, names) for thing in things) for things in truth["things"])
    scores = [_score(item, "missed_things", missed, len(truth["things"]))] if truth["things"] else []
    if not truth["people"]:
        people = seen is None or seen["faces"] or any(_is_named(each, names) for each in PEOPLE)
        scores.append(_score(item, "invented_people", bool(people), 1))
    if seen is not None and seen["moderation"] is not None:
        scores.append(_score(item, "false_alarms", seen["moderation"], 1))
    return scores


def _is_named(thing: str, names: Iterable[str]) -> bool:
    """Whether a name says a thing, among other words or in another number."""
    wanted = f" {' '.join(map(stem, tokens(thing)))} "
    return any(wanted in name for name in names)


def writing_scores(item: Item, summary: Mapping[str, Any] | None) -> list[Score]:
    """A summary (`summary.json`) against the sentences that matter and the topics; None for one that failed."""
    truth = item.document()
    sentences = truth["sentences"]
    topics = {sentence["topic"] for sentence in sentences}
    later = truth["breaks"][1:]
    if summary is None:
        return [
            _score(item, "unfaithful_words", 1, 1),
            _score(item, "idle_sentences", 1, 1),
            _score(item, "untold_topics", len(topics), len(topics)),
            _score(item, "missed_breaks", len(later), len(later)),
        ]
    wanted = unfaithful = idle = 0
    told: set[str] = set()
    for claim in summary["abstract"]:
        cited = [sentences[cite["sentence"]] for cite in claim["cites"]]
        found, count = supported_share(claim["text"], " ".join(each["text"] for each in cited), item.language)
        wanted, unfaithful = wanted + count, unfaithful + count - found
        idle += not any(each["matters"] for each in cited)
        told |= {each["topic"] for each in cited}
    starts = [_nearest(chapter["start"], truth) for chapter in summary["chapters"][1:]]
    missed = sum(not any(abs(start - due) <= NEAR for start in starts) for due in later)
    false = sum(not any(abs(start - due) <= NEAR for due in later) for start in starts)
    return [
        _score(item, "unfaithful_words", unfaithful, wanted),
        _score(item, "idle_sentences", idle, len(summary["abstract"])),
        _score(item, "untold_topics", len(topics - told), len(topics)),
        _score(item, "missed_breaks", missed, len(later)),
        _score(item, "false_breaks", false, len(starts)),
    ]


def _nearest(sample: int, truth: Mapping[str, Any]) -> int:
    """The number of the sentence that begins nearest to a sample."""
    segments = truth["transcript"]["tracks"][0]["segments"]
    return min(range(len(segments)), key=lambda number: abs(int(segments[number]["start"]) - sample))


SCORES: Mapping[AskTask, Callable[[Item, Any], list[Score]]] = {
    AskTask.SPEECH: speech_scores,
    AskTask.READING: reading_scores,
    AskTask.WRITING: writing_scores,
    AskTask.VECTORS: vectors_scores,
    AskTask.LABELS: labels_scores,
}  # of what processing/words/examined finds in an answer, or of the summary; None for what cannot be used


def captions_scores(item: Item, cues: Sequence[Cue]) -> list[Score]:
    """Captions against the words that are said and the rules of the item."""
    truth = item.document()
    said = normaliser.normalised(" ".join(each["text"] for each in truth["sentences"]), None)
    shown = normaliser.normalised(" ".join(cue.text for cue in cues), None)
    words = len(said.split())
    broken = sum(len(broken_rules(cue, truth["rules"])) for cue in cues)
    broken += sum(one.end_ms > other.start_ms for one, other in itertools.pairwise(cues))
    return [
        _score(item, "broken_rules", broken, max(1, len(cues))),
        _score(item, "lost_words", word_errors(said, shown) if shown else words, words),
    ]


def broken_rules(cue: Cue, rules: Mapping[str, int]) -> list[str]:
    """The rules of an item that one cue breaks, by name."""
    lines = cue.text.split("\n")
    length_ms = cue.end_ms - cue.start_ms
    characters = sum(map(len, lines))
    checks = {
        "lines": len(lines) <= rules["lines"],
        "line_characters": max(map(len, lines)) <= rules["line_characters"],
        "characters_a_s": characters * MS <= rules["characters_a_s"] * max(1, length_ms),
        "least_ms": length_ms >= rules["least_ms"],
        "most_ms": length_ms <= rules["most_ms"],
    }
    return [name for name, is_kept in checks.items() if not is_kept]


def word_errors(truth: str, found: str) -> int:
    """Words of `found` that are substituted, missing or too many, by the fewest changes. `truth` has words."""
    import jiwer

    aligned = jiwer.process_words(truth, found)
    return int(aligned.substitutions + aligned.deletions + aligned.insertions)


def character_errors(truth: str, found: str) -> int:
    """The same of characters."""
    import jiwer

    aligned = jiwer.process_characters(truth, found)
    return int(aligned.substitutions + aligned.deletions + aligned.insertions)


def _score(item: Item, measure: str, errors: float, total: float) -> Score:
    return Score(item.id, item.language or "", measure, float(errors), float(total))


def table(scores: Iterable[Score], golden: GoldenSet, release: Mapping[str, Any]) -> pd.DataFrame:
    """Scores of one release as a table: a row an item and measure, with what the figures depend on.

    Columns: release, version, sha256, task, golden, normaliser, item, language, measure, errors, total.
    """
    import pandas as pd

    frame = pd.DataFrame(
        [dataclasses.asdict(score) for score in scores], columns=[field.name for field in dataclasses.fields(Score)]
    )
    named = {name: str(release[name]) for name in ("version", "sha256")}
    for position, (column, value) in enumerate(
        {
            "release": str(release["id"]),
            **named,
            "task": golden.task,
            "golden": golden.digest,
            "normaliser": normaliser.VERSION,
        }.items()
    ):
        frame.insert(position, column, value)
    return frame


def summed(frame: pd.DataFrame) -> pd.DataFrame:
    """A table's measures over all items: errors, total, share, and how many items there are."""
    grouped = frame.groupby(["release", "version", "task", "measure"], as_index=False, sort=True).agg(
        errors=("errors", "sum"), total=("total", "sum"), items=("item", "nunique")
    )
    grouped["share"] = grouped["errors"] / grouped["total"].where(grouped["total"] > 0, 1.0)
    return grouped


def keep(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write a table as Parquet, or as CSV where no library that writes Parquet is installed; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(importlib.util.find_spec(engine) for engine in PARQUET_ENGINES):
        path = folder / f"{name}.parquet"
        frame.to_parquet(path, index=False)
    else:
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False, lineterminator="\n")
    return path


def kept(path: Path) -> pd.DataFrame:
    """A table that `keep` wrote."""
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    texts = dict.fromkeys(("release", "version", "sha256", "task", "golden", "normaliser", "item", "measure"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False)
