"""The steps of a summary as a state machine: part, merge, check. Pure: sentences and answers in, next asks or end out.

Belongs here: which step follows, what each is given, its budget, the reading of an answer into a typed state. Does not
belong here: files, transcripts, providers' formats (summary, answers/).

    PART    each piece of the transcript gives a draft
    MERGE   drafts become one, a few at a time, as often as there is more than one
    CHECK   every statement is held against the sentences it cites; what they do not support is dropped
    DONE

A step whose answer does not have the form that was asked for is asked once more (its name with "/repair"), as long as
the budget of the whole summary allows; then the summary has failed. Given the same answers it asks the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from processing.failures import ContractBroken, OutOfBudget
from processing.words.summary_plan import (
    CHECK_PROMPT,
    CHECK_SCHEMA,
    DRAFT_SCHEMA,
    MERGE_PROMPT,
    PART_PROMPT,
    PREFIX,
    RULES,
    flaw,
)

REPAIR = "/repair"
BYTES_A_TOKEN = 3  # of UTF-8: fewer than tokenisers need for English, about what they need for other languages
SENTENCE_FRAME_TOKENS = 24  # number, times and quotes around a sentence
SAMPLES_A_S = 16_000  # the clock of transcripts
CHAPTER_EVERY_S = 25  # of speech: so many chapters are wanted at most
MOST_TEXT = 1_000  # characters of one statement
MOST_CITES = 12  # of one statement
PREVIOUS_CHARACTERS = 4_000  # of a broken answer that its repair shows


class Phase(StrEnum):
    """Where a summary is."""

    PART = "part"
    MERGE = "merge"
    CHECK = "check"
    DONE = "done"


FOLLOWS: Mapping[Phase, frozenset[Phase]] = {
    Phase.PART: frozenset({Phase.MERGE, Phase.CHECK}),
    Phase.MERGE: frozenset({Phase.MERGE, Phase.CHECK}),
    Phase.CHECK: frozenset({Phase.DONE}),
    Phase.DONE: frozenset(),
}
PROMPT_OF = {Phase.PART: PART_PROMPT, Phase.MERGE: MERGE_PROMPT, Phase.CHECK: CHECK_PROMPT}
SCHEMA_OF = {Phase.PART: DRAFT_SCHEMA, Phase.MERGE: DRAFT_SCHEMA, Phase.CHECK: CHECK_SCHEMA}


class WrongForm(ValueError):
    """An answer that is not of the form that was asked for. The text says in what."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of speech: its number, its span in samples at 16 kHz, what was said.

    `pause` is the silence before it in samples, `cut` the sample at which a shot begins in or near that silence,
    `confidence` the mean of the recogniser's for its words, in thousandths, None where it says nothing.
    """

    number: int
    start: int
    end: int
    text: str
    pause: int = 0
    cut: int | None = None
    confidence: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A text that is shown in the picture, with its span in samples."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the abstract or a keyword, and the numbers of the sentences it rests on."""

    text: str
    cites: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "cites": list(self.cites)}


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter that begins with sentence `begins`."""

    title: str
    begins: int
    cites: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"title": self.title, "begins": self.begins, "cites": list(self.cites)}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a part or merge step answers."""

    abstract: tuple[Statement, ...]
    chapters: tuple[Chapter, ...]
    keywords: tuple[Statement, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "abstract": [each.to_json() for each in self.abstract],
            "chapters": [each.to_json() for each in self.chapters],
            "keywords": [each.to_json() for each in self.keywords],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Draft:
        """Of a value that keeps `DRAFT_SCHEMA`."""
        return cls(
            tuple(_statement(each) for each in value["abstract"]),
            tuple(Chapter(_line(each["title"]), each["begins"], tuple(each["cites"])) for each in value["chapters"]),
            tuple(_statement(each) for each in value["keywords"]),
        )

    @property
    def cited(self) -> set[int]:
        """The numbers of all sentences that something in it rests on."""
        cited = {number for _, _, cites in items_of(self) for number in cites}
        return cited | {chapter.begins for chapter in self.chapters}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a check says of one statement: its id ("abstract/0"), whether its citations support it, why."""

    id: str
    supported: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "supported": self.supported, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Step:
    """One ask: what it is called, what it is given, which sentence numbers it may cite."""

    name: str
    phase: Phase
    material: Mapping[str, Any]
    numbers: frozenset[int]

    def repaired(self, fault: str, previous: str) -> Step:
        """The same once more, with what was wrong."""
        material = {**self.material, "fault": fault, "previous": previous[:PREVIOUS_CHARACTERS]}
        return Step(self.name + REPAIR, self.phase, material, self.numbers)

    @property
    def digest(self) -> str:
        """sha256 (hex) of what it is given."""
        return hashlib.sha256(material_bytes(self.material)).hexdigest()


@dataclass(frozen=True, slots=True)
class State:
    """A step that was answered: what it was asked, and what the answer says, typed."""

    step: Step
    was_repaired: bool
    answer: Draft | tuple[Judged, ...]

    def to_json(self) -> dict[str, Any]:
        answer = self.answer.to_json() if isinstance(self.answer, Draft) else [each.to_json() for each in self.answer]
        numbers = sorted(self.step.numbers)
        return {
            "step": self.step.name,
            "phase": self.step.phase.value,
            "sentences": [numbers[0], numbers[-1]],
            "material": self.step.digest,
            "repaired": self.was_repaired,
            "answer": answer,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a summary is. `asked` are the steps whose answers are missing; without any it is `DONE`."""

    phase: Phase
    states: tuple[State, ...]
    asked: tuple[Step, ...] = ()
    draft: Draft | None = None
    dropped: tuple[Judged, ...] = ()
    budget_tokens: int = 0
    spent_tokens: int = 0


@dataclass(slots=True)
class Budget:
    """What all answers of one summary may hold together: those of the planned steps, and of some repairs."""

    answer_tokens: int
    planned: int
    repairs: int
    asked: int = 0
    repaired: int = 0

    @property
    def total(self) -> int:
        """All tokens."""
        return (self.planned + self.repairs) * self.answer_tokens

    @property
    def spent(self) -> int:
        """The tokens of all asks so far."""
        return (self.asked + self.repaired) * self.answer_tokens

    def repair(self) -> bool:
        """Whether one repair more is within it, leaving what the steps that are still to come need; if so, counted."""
        if self.repaired >= self.repairs:
            return False
        self.repaired += 1
        return True


@dataclass(slots=True)
class Machine:
    """One summary on its way. `answers` are the texts of the answers there are, by the name of their step.

    `duration` is the length of the media in samples at 16 kHz, `shown` what can be read in the picture meanwhile.
    """

    sentences: Sequence[Sentence]
    answers: Mapping[str, str]
    language: str | None
    duration: int
    shown: Sequence[Shown] = ()
    rules: Mapping[str, int] = field(default_factory=lambda: dict(RULES))
    _phase: Phase = Phase.PART
    _states: list[State] = field(default_factory=list)

    def advance(self) -> Progress:
        """Go on as far as the answers reach.

        Raises OutOfBudget for a transcript that the allowed number of steps cannot hold, ContractBroken for an answer
        that cannot be used or supports nothing.
        """
        parts = parts_of(self.sentences, self.rules)
        budget = budget_for(len(parts), self.rules)
        steps = [self._part(number, part) for number, part in enumerate(parts)]
        asked = self._settle(steps, budget)
        level = 0
        while not asked and len(steps) > 1:
            self._enter(Phase.MERGE)
            groups = evenly(self._drafts(len(steps)), self.rules["merged_at_once"])
            steps = [self._merge(level, number, group) for number, group in enumerate(groups)]
            asked = self._settle(steps, budget)
            level += 1
        if asked:
            return self._progress(budget, asked=asked)
        (draft,) = self._drafts(1)
        self._enter(Phase.CHECK)
        asked = self._settle([self._check(draft)], budget)
        if asked:
            return self._progress(budget, asked=asked)
        verdicts = self._states[-1].answer
        assert not isinstance(verdicts, Draft)
        self._enter(Phase.DONE)
        kept, dropped = supported(draft, verdicts)
        return self._progress(budget, draft=kept, dropped=dropped)

    def _enter(self, phase: Phase) -> None:
        if phase not in FOLLOWS[self._phase]:
            raise ValueError(f"{phase} does not follow {self._phase}")
        self._phase = phase

    def _progress(
        self, budget: Budget, asked: Sequence[Step] = (), draft: Draft | None = None, dropped: Sequence[Judged] = ()
    ) -> Progress:
        return Progress(
            self._phase, tuple(self._states), tuple(asked), draft, tuple(dropped), budget.total, budget.spent
        )

    def _drafts(self, count: int) -> list[Draft]:
        """The answers of the last `count` steps, all of them drafts."""
        return [state.answer for state in self._states[-count:] if isinstance(state.answer, Draft)]

    def _settle(self, steps: Sequence[Step], budget: Budget) -> list[Step]:
        """Take the answers of `steps` into the states; what is still to be asked comes back."""
        asked: list[Step] = []
        for step in steps:
            budget.asked += 1
            if step.name not in self.answers:
                asked.append(step)
                continue
            try:
                self._states.append(State(step, False, read(step, self.answers[step.name], self.rules)))
            except WrongForm as wrong:
                repair = self._repair(step, str(wrong), budget)
                if repair is not None:
                    asked.append(repair)
        return asked

    def _repair(self, step: Step, fault: str, budget: Budget) -> Step | None:
        """The one further ask after an answer of the wrong form, or None where its answer could be taken."""
        again = step.repaired(fault, self.answers[step.name])
        if again.name not in self.answers:
            if not budget.repair():
                raise ContractBroken(
                    f"the answer to {step.name} has the wrong form ({fault}), and the summary's budget of "
                    f"{budget.total} tokens holds no further ask",
                    cure="use another model for writing, or mend the prompt",
                    answers=(PREFIX + step.name,),
                )
            return again
        budget.repair()
        try:
            answer = read(again, self.answers[again.name], self.rules)
        except WrongForm as still:
            raise ContractBroken(
                f"the answer to {step.name} has the wrong form, and so has its repair: {still}",
                cure="use another model for writing, or mend the prompt",
                answers=(PREFIX + step.name, PREFIX + again.name),
            ) from None
        self._states.append(State(again, True, answer))
        return None

    def _part(self, number: int, part: Sequence[Sentence]) -> Step:
        span = (part[0].start, part[-1].end)
        material = {
            **self._frame(Phase.PART, len(part), span[1] - span[0]),
            "sentences": [_told(sentence) for sentence in part],
            "shown": [
                {"start_ms": _ms(text.start), "end_ms": _ms(text.end), "text": text.text}
                for text in shown_during(self.shown, span, self.rules["shown_tokens"])
            ],
        }
        return Step(f"part/{number:04d}", Phase.PART, material, frozenset(each.number for each in part))

    def _merge(self, level: int, number: int, drafts: Sequence[Draft]) -> Step:
        numbers = frozenset().union(*(draft.cited for draft in drafts))
        cited = [sentence for sentence in self.sentences if sentence.number in numbers]
        material = {
            **self._frame(Phase.MERGE, len(self.sentences), cited[-1].end - cited[0].start),
            "drafts": [draft.to_json() for draft in drafts],
            "sentences": [_told(sentence) for sentence in cited],
        }
        return Step(f"merge/{level}/{number:04d}", Phase.MERGE, material, numbers)

    def _check(self, draft: Draft) -> Step:
        numbers = frozenset(draft.cited)
        material = {
            "step": Phase.CHECK.value,
            "language": self.language,
            "items": [{"id": id_, "text": text, "cites": list(cites)} for id_, text, cites in items_of(draft)],
            "sentences": [_told(sentence) for sentence in self.sentences if sentence.number in numbers],
        }
        return Step("check", Phase.CHECK, material, numbers)

    def _frame(self, phase: Phase, sentences: int, samples: int) -> dict[str, Any]:
        """What is wanted of a draft over so many sentences in so many samples."""
        seconds = samples // SAMPLES_A_S
        return {
            "step": phase.value,
            "language": self.language,
            "wanted": {
                "abstract": max(1, min(self.rules["abstract"], sentences // 5)),
                "chapters": max(1, min(self.rules["chapters"], seconds // CHAPTER_EVERY_S)),
                "keywords": max(3, min(self.rules["keywords"], sentences // 2)),
            },
        }


def parts_of(sentences: Sequence[Sentence], rules: Mapping[str, int]) -> list[list[Sentence]]:
    """Consecutive sentences in pieces of about equal size, none above the tokens that an ask may hold.

    Raises OutOfBudget when more than the allowed number of pieces were needed.
    """
    weights = [SENTENCE_FRAME_TOKENS + len(sentence.text.encode()) // BYTES_A_TOKEN for sentence in sentences]
    count = -(-sum(weights) // rules["part_tokens"])
    if count > rules["most_parts"]:
        raise OutOfBudget(
            f"the transcript has about {sum(weights)} tokens, and a summary may have {rules['most_parts']} parts of "
            f"{rules['part_tokens']}",
            cure="summarise the source in pieces",
        )
    share = sum(weights) / count
    parts: list[list[Sentence]] = [[]]
    held = 0
    for sentence, weight in zip(sentences, weights, strict=True):
        if parts[-1] and held + weight > share and len(parts) < count:
            parts.append([])
            held = 0
        parts[-1].append(sentence)
        held += weight
    return parts


def shown_during(shown: Sequence[Shown], span: tuple[int, int], most_tokens: int) -> list[Shown]:
    """The texts that are shown in a span of samples, each wording once, in their order.

    Those that stay longest come first while tokens last: they are what a viewer can read.
    """
    meanwhile = [text for text in shown if text.start < span[1] and text.end > span[0]]
    once: dict[str, Shown] = {}
    for text in sorted(meanwhile, key=lambda each: (each.start - each.end, each.start)):
        once.setdefault(text.text, text)
    taken: list[Shown] = []
    left = most_tokens
    for text in once.values():
        tokens = SENTENCE_FRAME_TOKENS + len(text.text.encode()) // BYTES_A_TOKEN
        if tokens <= left:
            taken.append(text)
            left -= tokens
    return sorted(taken, key=lambda text: (text.start, text.end, text.text))


def evenly(drafts: Sequence[Draft], most: int) -> list[Sequence[Draft]]:
    """Neighbouring drafts in as few groups as hold `most` each, of about equal size."""
    count = -(-len(drafts) // most)
    borders = [len(drafts) * number // count for number in range(count + 1)]
    return [drafts[start:end] for start, end in itertools.pairwise(borders)]


def budget_for(parts: int, rules: Mapping[str, int]) -> Budget:
    """What a summary of so many parts may spend: every planned step, and some repairs."""
    planned, level = parts + 1, parts
    while level > 1:
        level = -(-level // rules["merged_at_once"])
        planned += level
    return Budget(rules["answer_tokens"], planned, max(1, planned // rules["steps_a_repair"]))


def read(step: Step, text: str, rules: Mapping[str, int]) -> Draft | tuple[Judged, ...]:
    """The typed answer to a step.

    Raises WrongForm for one that is not what was asked for, ContractBroken for one that says nothing at all.
    """
    value = _json(text)
    wrong = flaw(value, SCHEMA_OF[step.phase])
    if wrong:
        raise WrongForm(wrong)
    if step.phase is Phase.CHECK:
        return _judged(step, value)
    if not (value["abstract"] or value["chapters"] or value["keywords"]):
        raise ContractBroken(
            f"the answer to {step.name} is empty", cure="use another model for writing", answers=(PREFIX + step.name,)
        )
    draft = Draft.from_json(value)
    _require_form(draft, step.numbers, rules)
    return draft


def _require_form(draft: Draft, numbers: frozenset[int], rules: Mapping[str, int]) -> None:
    """What the schema cannot say. Raises WrongForm."""
    for name in ("abstract", "chapters", "keywords"):
        count = len(getattr(draft, name))
        least = 0 if name == "keywords" else 1
        if not least <= count <= rules[name]:
            raise WrongForm(f"{name} has {count} entries, and may have {least} to {rules[name]}")
    for id_, text, cites in items_of(draft):
        if not text or len(text) > MOST_TEXT:
            raise WrongForm(f"{id_} has {len(text)} characters, and may have 1 to {MOST_TEXT}")
        if not 1 <= len(cites) <= MOST_CITES:
            raise WrongForm(f"{id_} cites {len(cites)} sentences, and may cite 1 to {MOST_CITES}")
        absent = [number for number in cites if number not in numbers]
        if absent:
            raise WrongForm(f"{id_} cites sentence {absent[0]}, which it was not given")
    begins = [chapter.begins for chapter in draft.chapters]
    if any(number not in numbers for number in begins):
        raise WrongForm("a chapter begins with a sentence that was not given")
    if any(one >= other for one, other in itertools.pairwise(begins)):
        raise WrongForm("the chapters are not in order")


def _judged(step: Step, value: Mapping[str, Any]) -> tuple[Judged, ...]:
    due = [item["id"] for item in step.material["items"]]
    judged = {item["id"]: Judged(item["id"], item["supported"], _line(item["reason"])) for item in value["items"]}
    if len(judged) != len(value["items"]) or set(judged) != set(due):
        raise WrongForm(f"{len(value['items'])} items are judged, and {len(due)} were given")
    return tuple(judged[id_] for id_ in due)


def _json(text: str) -> Any:
    """The value of a JSON text, which models like to put between fences."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[bare.index("\n") : -3]
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        raise WrongForm("the answer is not JSON") from None


def items_of(draft: Draft) -> list[tuple[str, str, tuple[int, ...]]]:
    """Every statement of a draft: id, text, citations."""
    return [
        *((f"abstract/{number}", each.text, each.cites) for number, each in enumerate(draft.abstract)),
        *((f"chapters/{number}", each.title, each.cites) for number, each in enumerate(draft.chapters)),
        *((f"keywords/{number}", each.text, each.cites) for number, each in enumerate(draft.keywords)),
    ]


def supported(draft: Draft, verdicts: Sequence[Judged]) -> tuple[Draft, tuple[Judged, ...]]:
    """What is left of a draft without the statements that were found unsupported, and those verdicts.

    Raises ContractBroken when no sentence or no chapter is left.
    """
    dropped = {each.id: each for each in verdicts if not each.supported}
    kept = Draft(
        tuple(each for number, each in enumerate(draft.abstract) if f"abstract/{number}" not in dropped),
        tuple(each for number, each in enumerate(draft.chapters) if f"chapters/{number}" not in dropped),
        tuple(each for number, each in enumerate(draft.keywords) if f"keywords/{number}" not in dropped),
    )
    if not kept.abstract or not kept.chapters:
        raise ContractBroken(
            f"of {len(verdicts)} statements the check found {len(dropped)} unsupported, and nothing is left to publish",
            cure="use another model for writing",
        )
    return kept, tuple(dropped.values())


def material_bytes(material: Mapping[str, Any]) -> bytes:
    """`material.json` of a step."""
    return (json.dumps(material, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _told(sentence: Sentence) -> dict[str, Any]:
    return {
        "n": sentence.number,
        "start_ms": _ms(sentence.start),
        "end_ms": _ms(sentence.end),
        "pause_ms": _ms(sentence.pause),
        "cut": sentence.cut is not None,
        "confidence": sentence.confidence,
        "text": sentence.text,
    }


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLES_A_S


def _statement(value: Mapping[str, Any]) -> Statement:
    return Statement(_line(value["text"]), tuple(value["cites"]))


def _line(text: str) -> str:
    """A text as one line: no control characters, no runs of spaces."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
