"""The embedded model of task `writing`: it picks and quotes, and never says anything of its own.

Belongs here: ranking sentences, words and topic breaks by numbers, answering the steps of a summary. Does not belong
here: which steps there are (summary_steps) or its identity (extracting_plan).

Sentences are ranked by how many others share their rarer words (TextRank: Mihalcea and Tarau, 2004, over tf-idf), topic
breaks are where words change most between the sentences before and after (TextTiling: Hearst, 1997), sooner in long
pauses and at cuts. Same material, same answer: scores are rounded before they are compared, the earlier of equals wins.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from processing.asking import ANSWER_FILE
from processing.failures import ContractBroken
from processing.words.answers.extractive import FORMAT
from processing.words.stop_words import stop_words
from processing.words.wording import UNSPACED, folded, stem, supported_share, tokens
from processing.work import Result, Task

MATERIAL = "material.json"
DAMPING = 0.85  # of the walk over sentences, as PageRank has it
ROUNDS = 60  # after which the walk's shares move by less than they are rounded to
DIGITS = 9
TOO_ALIKE = 0.6  # cosine: a second sentence that says the same
SHORT = 5  # words that say something: a sentence with fewer says little by itself
LEAD = 1.25  # times: speakers often say first what a topic is about
COMMON = 0.5  # of the sentences: a word in more of them is taken for one that says little...
COMMON_FROM = 10  # ...where there are so many sentences, and no list for the language
WINDOW = 6  # sentences on either side of a possible break
LONG_PAUSE_MS = 3_000
PAUSE_WEIGHT, CUT_WEIGHT = 0.6, 0.3  # beside a depth of at most 2
CHAPTER_MS, CHAPTER_SENTENCES = 20_000, 3  # the shortest chapter
TITLE_WORDS = 3
MOST_CITES = 5
LONGEST_QUOTE = 900  # characters

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """One sentence of the material: its number, times in ms, text, the words of it that say something.

    `sure` is the recogniser's confidence, 1 where it says nothing.
    """

    number: int
    start_ms: int
    end_ms: int
    pause_ms: int
    cut: bool
    text: str
    sure: float
    terms: tuple[str, ...]


def answer(task: Task) -> Result:
    """Write the answer to one step of a summary. Input `ask`: `material.json`.

    Raises ContractBroken for a step that nobody here knows.
    """
    material = json.loads(task.inputs["ask"].path(MATERIAL).read_bytes())
    steps = {"part": part, "merge": merge, "check": check}
    step = steps.get(material.get("step"))
    if step is None:
        raise ContractBroken(f"the extractive model knows no step {material.get('step')!r}")
    task.out.mkdir(parents=True, exist_ok=True)
    document = {"method": "extractive", "answer": step(material)}
    (task.out / ANSWER_FILE).write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    return Result(facts={"format": FORMAT, "usage": {}})


def part(material: Mapping[str, Any]) -> dict[str, Any]:
    """A draft of one part: its central sentences, its words, its topics."""
    told = _told(material)
    vectors = _vectors(told)
    ranks = ranked(vectors, told)
    wanted = material["wanted"]
    breaks = topic_breaks(vectors, told, wanted["chapters"])
    topics = [bisect_right(breaks, index) for index in range(len(told))]
    leading = np.ones(len(told))
    leading[[0, *breaks]] = LEAD
    chosen = _central(ranks * leading, vectors, told, topics, wanted["abstract"])
    return {
        "abstract": [_quote(told[index]) for index in chosen],
        "chapters": [_chapter(told[first:last], told) for first, last in itertools.pairwise([0, *breaks, len(told)])],
        "keywords": keywords(told, ranks, wanted["keywords"]),
    }


def merge(material: Mapping[str, Any]) -> dict[str, Any]:
    """One draft of several: their sentences and words ranked against each other, their chapters thinned out."""
    told = _told(material)
    by_number = {each.number: index for index, each in enumerate(told)}
    wanted = material["wanted"]
    drafts = material["drafts"]
    quoted = {
        by_number[claim["cites"][0]]: number for number, draft in enumerate(drafts) for claim in draft["abstract"]
    }
    among = [told[index] for index in sorted(quoted)]
    parts = [quoted[index] for index in sorted(quoted)]
    vectors = _vectors(among)
    chosen = _central(ranked(vectors, among), vectors, among, parts, wanted["abstract"])
    words: dict[str, dict[str, Any]] = {}
    places: Counter[str] = Counter()
    for draft in drafts:
        for place, word in enumerate(draft["keywords"]):
            kept = words.setdefault(folded(word["text"]), {"text": word["text"], "cites": []})
            kept["cites"] = sorted({*kept["cites"], *word["cites"]})[:MOST_CITES]
            places[folded(word["text"])] += len(draft["keywords"]) - place
    best = sorted(words, key=lambda word: (-places[word], words[word]["cites"][0], word))[: wanted["keywords"]]
    return {
        "abstract": [_quote(among[index]) for index in chosen],
        "chapters": _thinned([chapter for draft in drafts for chapter in draft["chapters"]], told, wanted["chapters"]),
        "keywords": [words[word] for word in best],
    }


def check(material: Mapping[str, Any]) -> dict[str, Any]:
    """Whether every word of each statement that says something occurs in what it cites."""
    texts = {sentence["n"]: sentence["text"] for sentence in material["sentences"]}
    items = []
    for item in material["items"]:
        cited = " ".join(texts[number] for number in item["cites"])
        found, wanted = supported_share(item["text"], cited, material["language"])
        reason = f"{found} of {wanted} words occur in what it cites"
        items.append({"id": item["id"], "supported": found == wanted, "reason": reason})
    return {"items": items}


def _told(material: Mapping[str, Any]) -> list[Told]:
    raw = material["sentences"]
    terms = [tuple(_terms(sentence["text"], material["language"])) for sentence in raw]
    if not stop_words(material["language"]) and len(raw) >= COMMON_FROM:
        often = Counter(itertools.chain.from_iterable(set(each) for each in terms))
        common = {term for term, count in often.items() if count > COMMON * len(raw)}
        terms = [tuple(term for term in each if term not in common) for each in terms]
    return [
        Told(
            number=each["n"],
            start_ms=each["start_ms"],
            end_ms=each["end_ms"],
            pause_ms=each["pause_ms"],
            cut=each["cut"],
            text=each["text"],
            sure=1.0 if each["confidence"] is None else each["confidence"] / 1000,
            terms=own,
        )
        for each, own in zip(raw, terms, strict=True)
    ]


def _terms(text: str, language: str | None) -> Iterator[str]:
    """Stems of the words that say something; neighbouring pairs where a script has no spaces."""
    little = stop_words(language)
    words = tokens(text)
    for number, word in enumerate(words):
        if UNSPACED.match(word):
            if number + 1 < len(words) and UNSPACED.match(words[number + 1]):
                yield word + words[number + 1]
        elif len(word) > 1 and word.casefold().replace("’", "'") not in little:
            yield stem(word)


def _vectors(told: Sequence[Told]) -> Numbers:
    """tf-idf of every sentence, one row each, of length 1 or 0."""
    places = {term: place for place, term in enumerate(sorted({term for each in told for term in each.terms}))}
    counts = np.zeros((len(told), max(1, len(places))))
    for row, each in enumerate(told):
        for term, count in Counter(each.terms).items():
            counts[row, places[term]] = count
    rarity = np.log(1 + len(told) / np.maximum(1, (counts > 0).sum(axis=0)))
    weighted = counts * rarity
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    normal: Numbers = np.divide(weighted, lengths, out=np.zeros_like(weighted), where=lengths > 0)
    return normal


def ranked(vectors: Numbers, told: Sequence[Told]) -> Numbers:
    """How central every sentence is, less so where it says little or was not heard well."""
    count = len(told)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, 0.0)
    sums = alike.sum(axis=1, keepdims=True)
    steps = np.divide(alike, sums, out=np.full_like(alike, 1 / count), where=sums > 0)
    shares = np.full(count, 1 / count)
    for _ in range(ROUNDS):
        shares = (1 - DAMPING) / count + DAMPING * (shares @ steps)
    says = np.array([min(1.0, len(set(each.terms)) / SHORT) * each.sure for each in told])
    ranks: Numbers = np.round(shares * count * says, DIGITS)
    return ranks


def _central(ranks: Numbers, vectors: Numbers, told: Sequence[Told], topics: Sequence[int], wanted: int) -> list[int]:
    """Indices of the most central sentences that do not repeat each other, in order: the best of each topic before
    any topic has two. `topics` says to which one each sentence belongs.
    """
    order = [int(index) for index in np.argsort(-ranks, kind="stable") if len(told[index].text) <= LONGEST_QUOTE]
    firsts: dict[int, int] = {}
    for index in order:
        firsts.setdefault(topics[index], index)
    best = [index for index in order if firsts[topics[index]] == index]
    chosen: list[int] = []
    for index in [*best, *order]:
        if len(chosen) == wanted:
            break
        if index not in chosen and all(float(vectors[index] @ vectors[other]) <= TOO_ALIKE for other in chosen):
            chosen.append(index)
    return sorted(chosen) or [0]


def topic_breaks(vectors: Numbers, told: Sequence[Told], wanted: int) -> list[int]:
    """Indices of the sentences at which a new topic begins, at most `wanted` - 1, in order."""
    count = len(told)
    if count < 2 * CHAPTER_SENTENCES:
        return []
    window = max(2, min(WINDOW, count // 3))
    likeness = np.ones(count)
    for index in range(1, count):
        before, after = vectors[max(0, index - window) : index].sum(axis=0), vectors[index : index + window].sum(axis=0)
        lengths = float(np.linalg.norm(before) * np.linalg.norm(after))
        likeness[index] = float(before @ after) / lengths if lengths else 0.0
    scores = np.zeros(count)
    for index in range(1, count):
        left, right = likeness[max(1, index - window) : index + 1], likeness[index : index + window]
        depth = float(left.max() + right.max() - 2 * likeness[index])
        pause = PAUSE_WEIGHT * min(told[index].pause_ms, LONG_PAUSE_MS) / LONG_PAUSE_MS
        scores[index] = depth + pause + CUT_WEIGHT * told[index].cut
    scores = np.round(scores, DIGITS)
    usual = float(scores[1:].mean())
    found: list[int] = []
    for candidate in np.argsort(-scores, kind="stable"):
        index = int(candidate)
        if len(found) == wanted - 1 or scores[index] <= usual:
            break
        if index and _keeps_apart(index, found, told):
            found.append(index)
    return sorted(found)


def _keeps_apart(index: int, found: Sequence[int], told: Sequence[Told]) -> bool:
    """Whether chapters on both sides of a further break would be long enough."""
    borders = sorted([0, *found, len(told)])
    start = max(border for border in borders if border <= index)
    end = min(border for border in borders if border > index)
    last_ms = told[end].start_ms if end < len(told) else told[-1].end_ms
    lengths_ms = (told[index].start_ms - told[start].start_ms, last_ms - told[index].start_ms)
    return min(index - start, end - index) >= CHAPTER_SENTENCES and min(lengths_ms) >= CHAPTER_MS


def _chapter(own: Sequence[Told], told: Sequence[Told]) -> dict[str, Any]:
    """A chapter over `own`, named by the words that it uses more than the others do."""
    inside = Counter(term for each in own for term in each.terms)
    everywhere = Counter(term for each in told for term in each.terms)
    best = sorted(inside, key=lambda term: (-round(inside[term] ** 2 / everywhere[term], DIGITS), _first(term, own)))
    named = [_surface(term, own) for term in best[:TITLE_WORDS]] or [(_opening(own[0].text), own[0].number)]
    title = ", ".join(word for word, _ in named)
    return {
        "title": title[:1].upper() + title[1:],
        "begins": own[0].number,
        "cites": sorted({number for _, number in named}),
    }


def _first(term: str, told: Sequence[Told]) -> int:
    return next(index for index, each in enumerate(told) if term in each.terms)


def _opening(text: str) -> str:
    return " ".join(text.split()[: 2 * TITLE_WORDS])


def _surface(term: str, told: Sequence[Told]) -> tuple[str, int]:
    """A word as it is said, in the form it has most often, and the sentence where it has it first."""
    forms: Counter[str] = Counter()
    places: dict[str, int] = {}
    for each in told:
        words = tokens(each.text)
        for number, word in enumerate(words):
            form = "".join(words[number : number + 2]) if UNSPACED.match(word) else word
            if term in (form, stem(word)):
                forms[form] += 1
                places.setdefault(form, each.number)
    best = min(forms, key=lambda form: (-forms[form], places[form], form))
    return best, places[best]


def keywords(told: Sequence[Told], ranks: Numbers, wanted: int) -> list[dict[str, Any]]:
    """The words, and pairs of words that occur together more than once, that central sentences share."""
    count = len(told)
    often = Counter(itertools.chain.from_iterable(set(each.terms) for each in told))
    weights: dict[tuple[str, ...], float] = {}
    for each, rank in zip(told, ranks, strict=True):
        for term in set(each.terms):
            weights[(term,)] = weights.get((term,), 0.0) + float(rank) * float(np.log(1 + count / often[term]))
    pairs = Counter(pair for each in told for pair in set(itertools.pairwise(each.terms)))
    for pair, times in pairs.items():
        if times > 1 and pair[0] != pair[1]:
            weights[pair] = times * (weights[(pair[0],)] / often[pair[0]] + weights[(pair[1],)] / often[pair[1]])
    found: list[dict[str, Any]] = []
    used: set[str] = set()
    for terms in sorted(weights, key=lambda terms: (-round(weights[terms], DIGITS), terms)):
        if len(found) == wanted:
            break
        word = _phrase(terms, told)
        if word is not None and not used.intersection(terms):
            found.append(word)
            used.update(terms)
    return found


def _phrase(terms: tuple[str, ...], told: Sequence[Told]) -> dict[str, Any] | None:
    """One or two neighbouring words as they are said, with the sentences that say them; None where they never meet."""
    if len(terms) == 1:
        text, _ = _surface(terms[0], told)
        cites = [each.number for each in told if terms[0] in each.terms]
    else:
        forms: Counter[str] = Counter()
        cites = []
        for each in told:
            met = [
                f"{one} {other}"
                for one, other in itertools.pairwise(tokens(each.text))
                if (stem(one), stem(other)) == terms
            ]
            forms.update(met)
            cites += [each.number] if met else []
        if not forms:
            return None
        text = min(forms, key=lambda form: (-forms[form], form))
    return {"text": text, "cites": cites[:MOST_CITES]}


def _thinned(chapters: list[dict[str, Any]], told: Sequence[Told], wanted: int) -> list[dict[str, Any]]:
    """The chapters whose beginnings are after the longest pauses, the first among them."""
    pauses = {each.number: (each.cut, each.pause_ms) for each in told}
    later = sorted(chapters[1:], key=lambda chapter: (pauses[chapter["begins"]], -chapter["begins"]), reverse=True)
    kept = sorted([chapters[0], *later[: wanted - 1]], key=lambda chapter: int(chapter["begins"]))
    return [{name: chapter[name] for name in ("title", "begins", "cites")} for chapter in kept]


def _quote(told: Told) -> dict[str, Any]:
    return {"text": told.text, "cites": [told.number]}
