"""What was said in short: an abstract, chapters, keywords, each pointing at the speech it rests on.

Belongs here: sentences from a transcript, asking step by step, the files. Does not belong here: which step follows
(summary_steps), reading providers' formats (answers/), judging what came out (contracts/summary).

Times are samples at 16 kHz from time 0 of the source's timeline, as in transcripts. Chapters begin with the media, at a
shot that begins in or near the pause before a sentence, or with the sentence; they cover the media without holes.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from processing.asking import Ask, AskTask
from processing.timeline import to_seconds, to_ticks
from processing.words.answers import extractive, writing
from processing.words.corrections_plan import UNREVIEWED
from processing.words.summary_plan import PREFIX, RULES
from processing.words.summary_steps import (
    PROMPT_OF,
    SAMPLES_A_S,
    SCHEMA_OF,
    Draft,
    Machine,
    Progress,
    Sentence,
    Shown,
    Step,
    material_bytes,
)
from processing.words.wording import base
from processing.work import NOT_APPLICABLE, Input, Result, Task

SUMMARY_FILE, STATES_FILE = "summary.json", "states.json"
TRANSCRIPT_FILE = "transcript.json"
SCREEN_TEXT_FILE = "screen_text.json"
SCENES_FILE = "scenes.json"
MATERIAL = "material.json"
ANY = "*"  # among the languages of a model: all
ENDS_SENTENCE = (".", "!", "?", "…", "。", "！", "？", "।")
Word = tuple[int, int, str, int | None]  # start and end in samples, text, confidence in thousandths


@dataclass(frozen=True, slots=True)
class Book:
    """All that a summary is made of: the sentences of one track, what is shown meanwhile, where shots begin.

    `duration` is the length of the media, `cuts` are samples.
    """

    sentences: tuple[Sentence, ...]
    language: str | None
    track: int
    words: int
    duration: int
    shown: tuple[Shown, ...]
    cuts: tuple[int, ...]


def make(task: Task) -> Result:
    """Ask for the next steps, or write `summary.json` and `states.json`. Parameters: summary_plan.parameters.

    Inputs: `transcript`; `scenes` and `screen_text` where there are some; the answers there are so far.
    Raises ContractBroken for answers that cannot be used, OutOfBudget for a transcript too long for the allowed steps.
    """
    reason = nothing_to_sum_up(task)
    if reason is not None:
        return Result(facts={NOT_APPLICABLE: reason})
    book = read_book(task)
    given = {name.removeprefix(PREFIX): item for name, item in task.inputs.items() if name.startswith(PREFIX)}
    progress = Machine(
        book.sentences,
        {name: writing.text_of(item) for name, item in given.items()},
        book.language,
        book.duration,
        book.shown,
        task.parameters["rules"],
    ).advance()
    if progress.draft is None:
        return Result(asks=tuple(_ask(task, step, book) for step in progress.asked))
    return _written(task, book, progress, progress.draft, given)


def nothing_to_sum_up(task: Task) -> str | None:
    """Why there is no summary of what a task reads, or None."""
    if "transcript" not in task.inputs:
        return "there is no transcript"
    book, least = read_book(task), task.parameters["rules"]["least_words"]
    if book.words < least:
        return f"{book.words} words were said, and a summary needs {least} at least"
    known = [base(tag) for tag in task.parameters["model"].get("languages", [ANY])]
    if book.language and ANY not in known and base(book.language) not in known:
        return f"it is in {book.language}, which the model {task.parameters['model']['id']} does not know"
    return None


def _ask(task: Task, step: Step, book: Book) -> Ask:
    """One step as an ask, its material written down."""
    name = PREFIX + step.name
    folder = task.asks / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MATERIAL).write_bytes(material_bytes(step.material))
    most_tokens = int(task.parameters["rules"]["answer_tokens"])
    return Ask(
        name=name,
        task=AskTask.WRITING,
        parameters={
            "step": step.phase.value,
            "prompt": dict(task.parameters["prompts"][PROMPT_OF[step.phase]]),
            "schema": SCHEMA_OF[step.phase],
            "language": book.language,
            "most_tokens": most_tokens,
        },
        payload={MATERIAL: f"{name}/{MATERIAL}"},
        most_tokens=most_tokens,
    )


def _written(task: Task, book: Book, progress: Progress, draft: Draft, given: Mapping[str, Input]) -> Result:
    document: dict[str, Any] = {
        "rate_hz": SAMPLES_A_S,
        "language": book.language,
        "track": book.track,
        "duration": book.duration,
        "abstract": [{"text": each.text, "cites": _spans(each.cites, book)} for each in draft.abstract],
        "chapters": chapters_of(draft, book, task.parameters["rules"]),
        "keywords": [{"text": each.text, "cites": _spans(each.cites, book)} for each in draft.keywords],
    }
    states = {
        "phase": progress.phase.value,
        "budget_tokens": progress.budget_tokens,
        "spent_tokens": progress.spent_tokens,
        "steps": [state.to_json() for state in progress.states],
        "dropped": [each.to_json() for each in progress.dropped],
    }
    task.out.mkdir(parents=True, exist_ok=True)
    for name, content in ((SUMMARY_FILE, document), (STATES_FILE, states)):
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (task.out / name).write_text(text, encoding="utf-8", newline="\n")
    formats = {str(item.facts.get("format")) for item in given.values()}
    model = task.parameters["model"]
    return Result(
        facts={
            "file": SUMMARY_FILE,
            "states": STATES_FILE,
            "language": book.language,
            "track": book.track,
            "abstract": len(document["abstract"]),
            "chapters": len(document["chapters"]),
            "keywords": len(document["keywords"]),
            "steps": [{"step": state.step.name, "repaired": state.was_repaired} for state in progress.states],
            "dropped": len(progress.dropped),
            "ai_generated": True,
            "review": UNREVIEWED,
            "method": "extractive" if formats == {extractive.FORMAT} else "generative",
            "model": {name: model[name] for name in ("id", "version", "sha256")},
        }
    )


def chapters_of(draft: Draft, book: Book, rules: Mapping[str, int]) -> list[dict[str, Any]]:
    """The chapters with their spans. One that would be shorter than the shortest is told with the one before it."""
    shortest = rules["chapter_s"] * SAMPLES_A_S
    by_number = {sentence.number: sentence for sentence in book.sentences}
    found: list[dict[str, Any]] = []
    for chapter in draft.chapters:
        start, boundary = begins(by_number[chapter.begins]) if found else (0, "start")
        if found:
            if min(start - found[-1]["start"], book.duration - start) < shortest:
                continue
            found[-1]["end"] = start
        found.append(
            {"start": start, "end": book.duration, "boundary": boundary, "title": chapter.title, "cites": chapter.cites}
        )
    for told in found:
        inside = [number for number in told["cites"] if is_in(by_number[number], told)]
        told["cites"] = _spans(inside or told["cites"], book)  # none inside: the contract will say so
    return found


def is_in(sentence: Sentence, span: Mapping[str, Any]) -> bool:
    """Whether most of a sentence lies in a chapter."""
    return bool(span["start"] <= (sentence.start + sentence.end) // 2 < span["end"])


def begins(sentence: Sentence) -> tuple[int, str]:
    """The sample at which a chapter with this first sentence begins, and what begins there: "shot" or "speech"."""
    return (sentence.start, "speech") if sentence.cut is None else (sentence.cut, "shot")


def _spans(numbers: Iterable[int], book: Book) -> list[dict[str, int]]:
    by_number = {sentence.number: sentence for sentence in book.sentences}
    return [
        {"sentence": number, "start": by_number[number].start, "end": by_number[number].end}
        for number in sorted(set(numbers))
    ]


def read_book(task: Task) -> Book:
    """What a summary is made of, from the task's inputs. Raises KeyError and ValueError for none of the known form."""
    transcript = json.loads(task.inputs["transcript"].path(TRANSCRIPT_FILE).read_bytes())
    duration = length_of(task.parameters["duration"])
    track, words = spoken(transcript)
    cuts = cuts_in(task.inputs["scenes"]) if "scenes" in task.inputs else ()
    rules = {**RULES, **task.parameters["rules"]}
    return Book(
        sentences=tuple(sentences_in(words, duration, cuts, rules)),
        language=_language(transcript, track),
        track=track,
        words=sum(map(len, words)),
        duration=duration,
        shown=tuple(shown_in(task.inputs["screen_text"])) if "screen_text" in task.inputs else (),
        cuts=cuts,
    )


def length_of(duration: Mapping[str, Any]) -> int:
    """A length in ticks as whole samples, rounded up so that it holds all of the media."""
    exact = to_seconds(int(duration["ticks"]), int(duration["timescale"])) * SAMPLES_A_S
    return -(-exact.numerator // exact.denominator)


def spoken(transcript: Mapping[str, Any]) -> tuple[int, list[list[Word]]]:
    """The track with the most words (the first of equals) and its words, segment by segment, in order."""
    if transcript["rate_hz"] != SAMPLES_A_S:
        raise ValueError(f"a transcript counts {SAMPLES_A_S} samples a second, not {transcript['rate_hz']}")
    found: dict[int, list[list[Word]]] = {}
    for track in transcript["tracks"]:
        words = [
            (int(word["start"]), int(word["end"]), str(word["text"]).strip(), word.get("confidence"))
            for word in track["words"]
        ]
        found[int(track["track"])] = [
            [word for word in words[segment["first"] : segment["first"] + segment["words"]] if word[2]]
            for segment in track["segments"]
        ]
    if not found:
        return 0, []
    best = max(found, key=lambda number: (sum(map(len, found[number])), -number))
    return best, [segment for segment in found[best] if segment]


def _language(transcript: Mapping[str, Any], track: int) -> str | None:
    """The language of a track where the transcript tells one for each, else that of the transcript."""
    own = next((each.get("language") for each in transcript["tracks"] if int(each["track"]) == track), None)
    found = own or transcript.get("language")
    return str(found) if found else None


def cuts_in(scenes: Input) -> tuple[int, ...]:
    """Where shots begin, in samples, without the first."""
    document = json.loads(scenes.path(SCENES_FILE).read_bytes())
    timescale = int(document["timescale"])
    return tuple(to_ticks(Fraction(int(shot["start"]), timescale), SAMPLES_A_S) for shot in document["shots"][1:])


def sentences_in(
    segments: Sequence[Sequence[Word]], duration: int, cuts: Sequence[int], rules: Mapping[str, int]
) -> Iterator[Sentence]:
    """The sentences of a track, numbered from 0: up to a punctuation mark, a pause, the end of a segment, or the most
    words. All lie inside [0, duration].
    """
    reach = rules["cut_ms"] * SAMPLES_A_S // 1000
    before = number = 0
    for run in _runs(segments, rules):
        start, end = min(max(0, run[0][0]), duration), min(max(word[1] for word in run), duration)
        if end <= start:
            continue  # a recogniser placed it behind the end
        yield Sentence(
            number,
            start,
            end,
            _joined(run),
            pause=max(0, start - before),
            cut=_cut_between(cuts, before, start, reach),
            confidence=_confidence(run),
        )
        before, number = max(before, end), number + 1


def _runs(segments: Sequence[Sequence[Word]], rules: Mapping[str, int]) -> Iterator[list[Word]]:
    pause = rules["pause_ms"] * SAMPLES_A_S // 1000
    for segment in segments:
        run: list[Word] = []
        for word in segment:
            if run and (word[0] - run[-1][1] >= pause or len(run) >= rules["sentence_words"]):
                yield run
                run = []
            run.append(word)
            if word[2].rstrip("\"'”’»)").endswith(ENDS_SENTENCE):
                yield run
                run = []
        if run:
            yield run


def _confidence(run: Sequence[Word]) -> int | None:
    known = [int(word[3]) for word in run if word[3] is not None]
    return sum(known) // len(known) if known else None


def _joined(run: Sequence[Word]) -> str:
    """Words as a text; no space between words of scripts that write none."""
    text = ""
    for _, _, word, _ in run:
        unspaced = text and (_is_wide(text[-1]) and _is_wide(word[0]))
        text += word if not text or unspaced else f" {word}"
    return text


def _is_wide(character: str) -> bool:
    return "\u3000" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" or "\uff00" <= character <= "\uff65"


def _cut_between(cuts: Sequence[int], before: int, start: int, reach: int) -> int | None:
    """The shot that begins in the pause before a sentence, or within `reach` of its start; the nearest of several."""
    lowest = min(before, start - reach)
    near = cuts[bisect_left(cuts, lowest) : bisect_left(cuts, start + reach)]
    return min(near, key=lambda cut: abs(start - cut), default=None)


def shown_in(screen_text: Input) -> Iterator[Shown]:
    """The texts that are shown, with their spans in samples."""
    document = json.loads(screen_text.path(SCREEN_TEXT_FILE).read_bytes())
    timescale = int(document["timescale"])
    for line in document["lines"]:
        start, end = (to_ticks(Fraction(int(line[name]), timescale), SAMPLES_A_S) for name in ("start", "end"))
        yield Shown(start, end, str(line["text"]))


def read_summary(item: Input) -> dict[str, Any]:
    """The document of `summary.json`."""
    document: dict[str, Any] = json.loads(item.path(SUMMARY_FILE).read_bytes())
    return document
