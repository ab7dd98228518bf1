"""What must hold of a summary: it says something, of this source, that was said, and where.

Belongs here: judging abstract, chapters, keywords and their citations against the transcript and the shots. Does not
belong here: making them (words/summary), or whether the transcript is right (contracts/transcript).

Severities are chosen so: what a reader would be told wrongly, or could not check, fails: nothing at all, a refusal, a
placeholder, a number, time or name that was not said, a citation that leads nowhere, chapters with holes. What may be a
matter of style, or cannot be told from the text alone in its language, warns.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from processing.contracts.clauses import expect, failed, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.words.stop_words import STOP_WORDS
from processing.words.summary import (
    STATES_FILE,
    Book,
    is_in,
    nothing_to_sum_up,
    read_book,
    read_summary,
)
from processing.words.summary_steps import SAMPLES_A_S, Phase, Sentence
from processing.words.wording import (
    CAPITAL_NOUNS,
    CLOCK,
    SPELLED,
    base,
    clock_times,
    faithfulness,
    folded,
    is_title_case,
    names,
    said_numbers,
    stated_numbers,
    stem,
    supported_share,
    tokens,
)
from processing.work import NOT_APPLICABLE, Input, Task

LEAST_TOKENS = 3  # of a sentence of the abstract
# Faithfulness of the abstract. Over the golden set quotations have 1, and another item's abstract has 0.05 at most of
# what it would cite and 0.28 of its whole transcript; free renderings lie around a half.
FAITHLESS, FREE = Fraction(3, 10), Fraction(1, 2)
LONGEST = Fraction(6, 10)  # of what was said: more is the transcript again
SHORT_WORDS = 60  # an abstract of so many words is short in any case
SPREAD_FROM = 40  # sentences: where there are as many, an abstract of the first third alone was made of a part
LANGUAGE_FROM = 12  # words, of which some are always those that say little
# Percent of an abstract's words that are its language's little ones: with fewer, another language that has so many
# times more of them is the one it is written in.
FOREIGN = (15, 2)
# Thousandths, the mean of a sentence. Of 28 golden sentences that the embedded recogniser heard, those below have half
# of their words wrong or more; of those with less than a third wrong the least has 427.
UNSURE = 400
LONGEST_ECHO = 8  # words of a prompt that a statement may repeat

REFUSALS = re.compile(
    r"\b(i'?m|i am) (very |so )?(sorry|unable|not able|afraid)\b"
    r"|\bi (can'?t|can ?not|won'?t|am unable to|must decline to) "
    r"(help|assist|comply|provide|summari[sz]e|fulfill?|create|generate|process|access|do that|continue)"
    r"|\bas an? (ai|artificial intelligence|language model|large language model|assistant)\b"
    r"|\b(against|violates?) (my|our|the|openai'?s) (content )?(guidelines|polic(y|ies)|terms)\b"
    r"|\b(no|without a) (transcript|content|text|input|material) (was |is |has been )?"
    r"(provided|given|available|found)\b"
    r"|\b(please|kindly) provide (me )?(with )?(the|a|more)\b"
    r"|\btut mir leid\b|\bich kann (dir |ihnen |das |dabei |diese \w+ )?(leider )?nicht\b|\bals (ki|sprachmodell)\b"
    r"|\bje (suis désolée?|ne peux pas)\b|\ben tant qu[e'] ?(ia|modèle|intelligence)\b"
    r"|\blo siento\b|\bno puedo (ayudar|resumir|proporcionar|continuar)\b|\bcomo (una )?(ia|modelo de lenguaje)\b"
    r"|\bmi dispiace\b|\bnon posso (aiutar|riassumere|fornire)|\bdesculpe\b|\bnão posso (ajudar|resumir|fornecer)",
    re.IGNORECASE,
)
PLACEHOLDERS = re.compile(
    r"lorem ipsum|\[(insert|your|name|title|summary|topic|speaker)[^\]]*\]|\{\{?\w+\}?\}|</?[a-z_]+>"
    r"|\b(?-i:TODO|TBD|FIXME)\b"
    r"|\b(summary|abstract|title|keyword|text|content) (goes |comes )?here\b"
    r"|^\W*(untitled|unknown|none|null|undefined|string|text|title|abstract|summary|keyword|example|n/?a|\.\.\.)\W*$"
    r"|\bno (summary|abstract|information|keywords?|chapters?) (is |was |are )?(available|found|given|provided)\b",
    re.IGNORECASE,
)
NUMBERED_TITLE = re.compile(
    r"^\W*(chapter|part|section|segment|scene|topic|kapitel|teil|abschnitt|chapitre|partie|section|cap[ií]tulo|capitolo"
    r"|parte|hoofdstuk|deel)\W*(\d+|[ivxlc]+|one|two|three|four|five)?\W*$",
    re.IGNORECASE,
)
FILLER = re.compile(
    r"\b(this|the|a) "
    r"(video|audio|transcript|recording|clip|text|speaker|conversation|presentation|discussion|podcast)\b"
    r"|\bin (conclusion|summary)\b|\boverall\b|\bvarious (topics|aspects|things)\b|\bvaluable insights?\b"
    r"|\b(interesting|important|different) (topics|points|aspects|things)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One statement: where it stands ("abstract 0"), its text, its citations, and the text that these lead to.

    `seen` is what could be read in the picture meanwhile.
    """

    place: str
    text: str
    cites: tuple[Mapping[str, Any], ...]
    cited: str
    seen: str

    @property
    def said(self) -> str:
        """All that it may draw names and numbers from."""
        return f"{self.cited} {self.seen}"


@dataclass(frozen=True, slots=True)
class Case:
    """A summary before its judge: the document, its states and facts, the book it was made of, its statements."""

    document: Mapping[str, Any]
    states: Mapping[str, Any]
    facts: Mapping[str, Any]
    book: Book
    told: Mapping[str, Any]
    abstract: tuple[Item, ...]
    chapters: tuple[Item, ...]
    keywords: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All statements."""
        return (*self.abstract, *self.chapters, *self.keywords)

    @property
    def language(self) -> str | None:
        """That of the transcript."""
        return self.book.language


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where it cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a summary needs what was made")
    try:
        if NOT_APPLICABLE in made.facts:
            reason = nothing_to_sum_up(task)
            return [expect("does not apply for a reason", reason is not None, str(made.facts[NOT_APPLICABLE]))]
        case = _case(made, task)
        return [passed("can be read"), *itertools.chain.from_iterable(judge(case) for judge in JUDGES)]
    except (AttributeError, KeyError, OSError, TypeError, ValueError, WorkFailure) as error:
        return [failed("can be read", f"{type(error).__name__}: {error}", "JSON with abstract, chapters and keywords")]


def _case(made: Input, task: Task) -> Case:
    document = read_summary(made)
    book = read_book(task)
    return Case(
        document,
        json.loads(made.path(STATES_FILE).read_bytes()),
        made.facts,
        book,
        task.parameters,
        tuple(_items(document["abstract"], "abstract", "text", book)),
        tuple(_items(document["chapters"], "chapter", "title", book)),
        tuple(_items(document["keywords"], "keyword", "text", book)),
    )


def _items(listed: Sequence[Mapping[str, Any]], name: str, field: str, book: Book) -> Iterator[Item]:
    by_number = {sentence.number: sentence for sentence in book.sentences}
    for number, each in enumerate(listed):
        cites = tuple(each["cites"])
        spoken = [by_number[cite["sentence"]] for cite in cites if cite["sentence"] in by_number]
        shown = [
            text.text for text in book.shown if any(text.start < one.end and text.end > one.start for one in spoken)
        ]
        cited = " ".join(sentence.text for sentence in spoken)
        yield Item(f"{name} {number}", str(each[field]), cites, cited, " ".join(shown))


def _verdict(clause: str, troubles: Sequence[str], expected: str = "", *, only_warns: bool = False) -> Verdict:
    if not troubles:
        return passed(clause)
    more = f" ({len(troubles)} in all)" if len(troubles) > 1 else ""
    return (warned if only_warns else failed)(clause, f"{troubles[0]}{more}", expected)


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _says_something(case: Case) -> Iterator[Verdict]:
    troubles = [f"{name} is empty" for name in ("abstract", "chapters") if not getattr(case, name)]
    troubles += [
        f"{item.place} says {_shown(item.text)!r}" for item in case.abstract if len(tokens(item.text)) < LEAST_TOKENS
    ]
    troubles += [f"{item.place} has no words" for item in (*case.chapters, *case.keywords) if not tokens(item.text)]
    yield _verdict("says something", troubles, f"sentences of {LEAST_TOKENS} words at least")
    yield _verdict("has keywords", [] if case.keywords else ["none"], "one at least", only_warns=True)


def _unsaid(pattern: re.Pattern[str], item: Item) -> str | None:
    """What a pattern finds in a statement that the speakers did not say themselves."""
    found = pattern.search(item.text)
    if found is None or _flat(found.group()) in _flat(item.cited):
        return None
    return found.group()


def _flat(text: str) -> str:
    return " ".join(folded(token) for token in tokens(text))


def _refusals(case: Case) -> Iterator[Verdict]:
    yield _verdict(
        "is no refusal", [f"{item.place}: {_shown(item.text)}" for item in case.items if _unsaid(REFUSALS, item)]
    )


def _boilerplate(case: Case) -> Iterator[Verdict]:
    troubles = [f"{item.place}: {_shown(item.text)}" for item in case.items if _unsaid(PLACEHOLDERS, item)]
    troubles += [f"{item.place}: {item.text}" for item in case.chapters if NUMBERED_TITLE.match(item.text)]
    prompts = [_flat(str(prompt["text"])) for prompt in case.told["prompts"].values()]
    for item in case.abstract:
        flat = _flat(item.text)
        echoes = len(flat.split()) >= LONGEST_ECHO and any(flat in prompt for prompt in prompts)
        found, wanted = supported_share(item.text, item.cited, case.language)
        empty = _unsaid(FILLER, item) is not None and 2 * found < wanted
        if echoes or empty:
            troubles.append(f"{item.place}: {_shown(item.text)}")
    flats = [_flat(item.text) for item in case.abstract]
    troubles += [f"abstract {number} repeats" for number, flat in enumerate(flats) if flat in flats[:number]]
    yield _verdict("is no boilerplate", troubles)
    filler = [f"{item.place}: {_shown(item.text)}" for item in case.abstract if _unsaid(FILLER, item)]
    yield _verdict("comes to the point", filler, "what was said, not that something was", only_warns=True)


def _citations(case: Case) -> Iterator[Verdict]:
    due = {sentence.number: (sentence.start, sentence.end) for sentence in case.book.sentences}
    troubles = [f"{item.place} cites nothing" for item in case.items if not item.cites]
    for item in case.items:
        for cite in item.cites:
            span = (cite["start"], cite["end"])
            if due.get(cite["sentence"]) != span:
                troubles.append(f"{item.place} cites {cite['sentence']} at {span[0]}-{span[1]}")
            elif not 0 <= span[0] < span[1] <= case.book.duration:
                troubles.append(f"{item.place} cites {span[0]}-{span[1]}, outside the media")
    yield _verdict("citations resolve", troubles, f"sentences inside 0-{case.book.duration}")


def _numbers(case: Case) -> Iterator[Verdict]:
    """Where spoken numbers are not understood here, a figure of the abstract may be words of the transcript."""
    absent = [
        f"{item.place} says {number}"
        for item in case.items
        for number in stated_numbers(item.text, case.language)
        if number not in said_numbers(item.said, case.language)
    ]
    written = any(character.isdigit() for sentence in case.book.sentences for character in sentence.text)
    sure = base(case.language) in SPELLED or written
    yield _verdict("no number is invented", absent, "numbers of what is cited", only_warns=not sure)


def _times(case: Case) -> Iterator[Verdict]:
    """A time of day or of the medium must be said, or lie in what is cited."""
    troubles = []
    for item in case.items:
        said = set(clock_times(item.said)) | set(_spoken_clock(item.said, case.language))
        spans = [(cite["start"] // SAMPLES_A_S, -(-cite["end"] // SAMPLES_A_S)) for cite in item.cites]
        troubles += [
            f"{item.place} says {found.group()}"
            for found, seconds in zip(CLOCK.finditer(item.text), clock_times(item.text), strict=True)
            if seconds not in said and not any(start <= seconds <= end for start, end in spans)
        ]
    yield _verdict("no time is invented", troubles, "times that are said, or of what is cited")


def _spoken_clock(text: str, language: str | None) -> Iterator[int]:
    """Times that two numbers of a text may mean: "nine thirty" as 9:30, in seconds as `clock_times` counts 9:30."""
    numbers = {int(number) for number in said_numbers(text, language) if number.isdigit() and len(number) <= 2}
    yield from (first * 60 + second for first, second in itertools.product(numbers, numbers | {0}) if second < 60)


def _names(case: Case) -> Iterator[Verdict]:
    """Nouns with capitals and titles in which every word has one tell no names apart: there a strange word warns, and
    of nouns two strange ones side by side, which are seldom anything else, fail.
    """
    invented: list[str] = []
    unclear: list[str] = []
    for item in case.items:
        said = {folded(part) for token in tokens(item.said) for part in (token, *token.split("-"))}
        strange = [
            name
            for name in names(item.text)
            if not any(_same_name(folded(part), said) for part in (name, *name.split("-")))
        ]
        has_nouns = base(case.language) in CAPITAL_NOUNS
        in_title = not has_nouns and is_title_case(item.text)
        pairs = {name for pair in itertools.pairwise(strange) if " ".join(pair) in item.text for name in pair}
        for name in strange:
            is_clear = not in_title and (not has_nouns or name in pairs)
            (invented if is_clear else unclear).append(f"{item.place} says {name}")
    yield _verdict("no name is invented", invented, "names of what is cited")
    yield _verdict("no word with a capital is strange", unclear, "words of what is cited", only_warns=True)


def _same_name(name: str, said: set[str]) -> bool:
    """Whether a name was said, give or take an ending of two letters."""
    if name in said:
        return True
    return len(name) >= 4 and any(
        abs(len(name) - len(word)) <= 2 and len(word) >= 4 and (name.startswith(word) or word.startswith(name))
        for word in said
    )


def _keywords(case: Case) -> Iterator[Verdict]:
    troubles = []
    for item in case.keywords:
        said = {stem(part) for token in tokens(item.said) for part in (token, *token.split("-"))}
        absent = [word for word in tokens(item.text) if stem(word) not in said]
        if absent:
            troubles.append(f"{item.place} is {_shown(item.text)!r}, and {absent[0]!r} was not said there")
    flats = [_flat(item.text) for item in case.keywords]
    troubles += [f"keyword {number} repeats" for number, flat in enumerate(flats) if flat in flats[:number]]
    yield _verdict("keywords were said", troubles, "words of what is cited, each once")


def _coverage(case: Case) -> Iterator[Verdict]:
    spans = [(chapter["start"], chapter["end"]) for chapter in case.document["chapters"]]
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), case.book.duration]
    troubles = [f"{end} and {start} do not meet" for end, start in zip(ends, starts, strict=True) if end != start]
    troubles += [f"a chapter from {start} to {end}" for start, end in spans if end <= start]
    yield _verdict("chapters cover the media in order", troubles, f"0 to {case.book.duration} without holes")
    shortest = int(case.told["rules"]["chapter_s"]) * SAMPLES_A_S
    short = [f"{end - start} samples" for start, end in spans if end - start < shortest] if len(spans) > 1 else []
    yield _verdict("chapters last", short, f"{shortest} samples at least")


def _boundaries(case: Case) -> Iterator[Verdict]:
    allowed = {
        "start": {0},
        "shot": set(case.book.cuts),
        "speech": {sentence.start for sentence in case.book.sentences},
    }
    troubles = [
        f"the chapter at {chapter['start']} begins with no {chapter['boundary']}"
        for chapter in case.document["chapters"]
        if chapter["start"] not in allowed.get(str(chapter["boundary"]), ())
    ]
    yield _verdict("chapters begin at shots or speech", troubles)


def _titles(case: Case) -> Iterator[Verdict]:
    """A title may name what is done ("Questions"); when none has a word of its chapter, they are of another talk."""
    flats = [_flat(item.text) for item in case.chapters]
    repeated = [item.text for number, item in enumerate(case.chapters) if flats[number] in flats[:number]]
    alike = len(flats) > 1 and len(set(flats)) == 1
    yield _verdict("chapters have titles of their own", repeated, "each its own", only_warns=not alike)
    strangers = []
    for item, chapter in zip(case.chapters, case.document["chapters"], strict=True):
        said = " ".join(sentence.text for sentence in case.book.sentences if is_in(sentence, chapter))
        if supported_share(item.text, f"{said} {item.seen}", case.language)[0] == 0:
            strangers.append(f"{item.place}: {_shown(item.text)}")
    every = len(strangers) == len(case.chapters)
    yield _verdict("titles name what their chapters say", strangers, "a word of it at least", only_warns=not every)


def _own_speech(case: Case) -> Iterator[Verdict]:
    by_number: Mapping[int, Sentence] = {sentence.number: sentence for sentence in case.book.sentences}
    troubles = [
        f"the chapter at {chapter['start']} cites sentence {cite['sentence']}"
        for chapter in case.document["chapters"]
        for cite in chapter["cites"]
        if cite["sentence"] in by_number and not is_in(by_number[cite["sentence"]], chapter)
    ]
    yield _verdict("chapters rest on their own speech", troubles)


def _faithful(case: Case) -> Iterator[Verdict]:
    clause = "is what was said"
    share = faithfulness(((item.text, item.said) for item in case.abstract), case.language)
    found = f"{float(share):.2f} of its words"
    if share < FAITHLESS:
        yield failed(clause, found, f"{float(FAITHLESS):.2f}")
    else:
        yield (warned if share < FREE else passed)(clause, found, f"{float(FREE):.2f}")
    strangers = []
    for item in case.abstract:
        supported, wanted = supported_share(item.text, item.said, case.language)
        if wanted >= LEAST_TOKENS and supported == 0:
            strangers.append(f"{item.place}: {_shown(item.text)}")
    yield _verdict("every sentence has to do with what it cites", strangers)


def _language(case: Case) -> Iterator[Verdict]:
    """By the little words, where there is a list for the language."""
    own = base(case.language)
    words = [token.casefold() for item in case.abstract for token in tokens(item.text)]
    if own not in STOP_WORDS or len(words) < LANGUAGE_FROM:
        return
    counts = {language: sum(word in little for word in words) for language, little in STOP_WORDS.items()}
    best = max(counts, key=lambda language: (counts[language], language == own))
    foreign = counts[own] * 100 < FOREIGN[0] * len(words) and counts[best] >= max(1, FOREIGN[1] * counts[own])
    yield expect("is in the language of what was said", not foreign, best if foreign else own, own)


def _length(case: Case) -> Iterator[Verdict]:
    said = sum(len(tokens(sentence.text)) for sentence in case.book.sentences)
    words = sum(len(tokens(item.text)) for item in case.abstract)
    most = max(SHORT_WORDS, int(said * LONGEST))
    yield expect("is shorter than what was said", words <= most, f"{words} words of {said}", f"{most} at most")


def _heard(case: Case) -> Iterator[Verdict]:
    """What a recogniser was not sure of may be something else that was said."""
    by_number = {sentence.number: sentence for sentence in case.book.sentences}
    unsure = []
    for item in case.abstract:
        known = [by_number[cite["sentence"]].confidence for cite in item.cites if cite["sentence"] in by_number]
        best = max((each for each in known if each is not None), default=None)
        if best is not None and best < UNSURE:
            unsure.append(f"{item.place} rests on words heard with {best}")
    yield _verdict("rests on what was heard well", unsure, f"{UNSURE} of 1000", only_warns=True)


def _spread(case: Case) -> Iterator[Verdict]:
    """An answer over a transcript that was cut off on its way knows only its beginning."""
    sentences = case.book.sentences
    if len(sentences) < SPREAD_FROM:
        return
    last = max((cite["sentence"] for item in case.abstract for cite in item.cites), default=0)
    known = [f"sentences up to {last} of {len(sentences)}"] if 3 * last < len(sentences) else []
    yield _verdict("draws on more than the beginning", known, only_warns=True)


def _states(case: Case) -> Iterator[Verdict]:
    """The states lead to what is published: every statement stands in the last draft, and was not dropped."""
    steps = case.states["steps"]
    drafts = [step for step in steps if step["phase"] != Phase.CHECK]
    troubles = [] if case.states["phase"] == Phase.DONE else [f"ended in {case.states['phase']}"]
    if not drafts or not steps or steps[-1]["phase"] != Phase.CHECK:
        troubles.append("lack a draft or its check")
    else:
        last = drafts[-1]["answer"]
        drafted = {
            **{f"abstract/{n}": each["text"] for n, each in enumerate(last["abstract"])},
            **{f"chapters/{n}": each["title"] for n, each in enumerate(last["chapters"])},
            **{f"keywords/{n}": each["text"] for n, each in enumerate(last["keywords"])},
        }
        unsupported = {each["id"] for each in steps[-1]["answer"] if not each["supported"]}
        kept = {text for id_, text in drafted.items() if id_ not in unsupported}
        troubles += [f"{item.place} stands in no draft" for item in case.items if item.text not in kept]
    if case.states["spent_tokens"] > case.states["budget_tokens"]:
        troubles.append(f"spent {case.states['spent_tokens']} tokens of {case.states['budget_tokens']}")
    yield _verdict("its steps lead to it", troubles)


def _marked(case: Case) -> Iterator[Verdict]:
    facts = case.facts
    model = facts.get("model") or {}
    named = all(model.get(name) == case.told["model"].get(name) for name in ("id", "version", "sha256"))
    is_marked = facts.get("ai_generated") is True and bool(facts.get("review")) and named
    yield expect("says that a model made it", is_marked, f"{facts.get('ai_generated')}, {model.get('id')}", "its model")
    due = {"abstract": len(case.abstract), "chapters": len(case.chapters), "keywords": len(case.keywords)}
    wrong = [f"{name} is {facts.get(name)}, listed {count}" for name, count in due.items() if facts.get(name) != count]
    yield _verdict("facts agree", wrong)


JUDGES = (
    *(_says_something, _refusals, _boilerplate, _citations, _numbers, _times, _names, _keywords),
    *(_coverage, _boundaries, _titles, _own_speech, _faithful, _language, _length, _spread),
    *(_heard, _states, _marked),
)
