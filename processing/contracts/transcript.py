"""What must hold of a transcript: it says what is said, where it is said, in the language that is spoken.

Belongs here: judging words against the speech map, the source's language, and what models are known to make up. Does
not belong here: making a transcript (words/transcript) or the lists and tables (words/known_phrases, tongues, loops).

Failed is what is no transcript: empty, cut off, in another language, going round in circles, saying what nobody said.
Warned is what a person should know of a transcript that may still be read.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from processing.contracts.clauses import expect, failed, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.sound.flac import RATE_HZ
from processing.timeline import rational
from processing.words.answers.speech import MOST_WORD, folded
from processing.words.answers.whisper import UNSPACED
from processing.words.corrections_plan import UNREVIEWED
from processing.words.known_phrases import CREDITS, FAREWELLS, REFUSALS, found_in
from processing.words.loops import worst_compression, worst_loop
from processing.words.tongues import foreign_letters, other_tongue
from processing.words.transcript import Track, nothing_to_write, read_transcript, tracks_of, uncovered
from processing.words.transcript_plan import is_spoken, primary
from processing.work import NOT_APPLICABLE, Input, Task

# Words a second of speech: film dialogue is 2 to 4, auctioneers reach 6; below one in five seconds nobody talks.
LEAST_RATE, MOST_RATE = Fraction(1, 5), Fraction(6)
UNSPACED_RATE = Fraction(12)  # where a "word" is a character or two
COVERED_AT_ALL, COVERED_WELL = Fraction(1, 2), Fraction(4, 5)  # of speech
UNCOVERED_S = 10  # in one stretch: a sentence or two are missing
TAIL_S, TAIL_LONG_S = 2, 10  # of speech after a piece's last word
TAIL_SHARE = Fraction(1, 4)
NEAR_S = Fraction(1, 2)  # times of words are rough
UNSPOKEN = Fraction(1, 5)  # of words where nobody speaks: the text is of other sound
UNSPOKEN_SOME = Fraction(1, 20)
COMPRESSION = 240  # hundredths: Whisper's compression_ratio_threshold
UNSURE = 400  # thousandths of mean confidence
LOG_PROBABILITY = -1000  # thousandths: Whisper's logprob_threshold
FOREIGN_LETTERS = Fraction(1, 3)  # names and terms are written in other letters, sentences are not
PHRASES = Fraction(1, 2)  # of a track's words in known phrases: there is nothing else
SHORT = 40  # words: a refusal is a sentence or two, a talk about refusals is longer
SHORTEST_JUDGED_S = 2  # of speech: a rate over less says nothing

Words = Sequence[Mapping[str, Any]]


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` track by track. Where the document cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a transcript needs what was made")
    try:
        if NOT_APPLICABLE in made.facts:
            why = nothing_to_write(task)
            is_so = why == made.facts[NOT_APPLICABLE] and not made.files
            return [expect("does not apply for its reason", is_so, str(made.facts[NOT_APPLICABLE]), str(why))]
        document = read_transcript(made.folder)
        listed = {int(track["track"]): track for track in document["tracks"]}
        tracks = {track.number: track for track in tracks_of(task)}
        verdicts = list(_whole(made, listed, tracks, task.parameters))
    except (KeyError, OSError, TypeError, ValueError, RecursionError, WorkFailure) as error:
        return [failed("transcript readable", f"{type(error).__name__}: {error}", "JSON with tracks")]
    for number in sorted(set(listed) & set(tracks)):
        try:
            found = list(_judge(listed[number], tracks[number], task.parameters))
        except (KeyError, IndexError, TypeError, ValueError, WorkFailure) as error:
            found = [failed("can be read", f"{type(error).__name__}: {error}")]
        verdicts += [Verdict(f"track {number} {v.clause}", v.outcome, v.found, v.expected) for v in found]
    return verdicts


def _whole(
    made: Input, listed: Mapping[int, Any], tracks: Mapping[int, Track], told: Mapping[str, Any]
) -> Iterator[Verdict]:
    facts = made.facts
    refused = {int(each["track"]) for each in facts["refused"]}
    due = set(tracks)
    yield expect("every track is there or refused", set(listed) | refused == due, str(sorted(listed)), str(sorted(due)))
    yield expect("has a track", bool(listed), len(listed), "at least one")
    is_said = facts["ai_generated"] is True and facts["review"] == UNREVIEWED
    yield expect("is said to be made by a model and unreviewed", is_said)
    makers = {int(piece["answer"]) for track in listed.values() for piece in track["pieces"]}
    is_named = dict(facts["model"]) == dict(told["model"]) and makers == set(range(len(facts["answers"])))
    yield expect("names the model and format of every answer", is_named and bool(makers))
    words = sum(len(track["words"]) for track in listed.values())
    yield expect("is summed up rightly", facts["words"] == words, facts["words"], words)
    summed = {int(each["track"]): each for each in facts["tracks"]}
    agreeing = set(summed) == set(listed) and all(
        summed[number]["words"] == len(listed[number]["words"])
        and summed[number]["language"] == listed[number]["language"]
        and summed[number]["covered"] == rational(_covered(tracks[number], listed[number]["words"]))
        for number in listed
    )
    yield expect("has facts of its tracks", agreeing)


def _judge(track: Mapping[str, Any], due: Track, told: Mapping[str, Any]) -> Iterator[Verdict]:
    words: Words = track["words"]
    yield expect("has a word", bool(words), len(words), "at least one")
    yield from form(track, due)
    if not words:
        return
    yield from _where(track, due)
    yield from _how_much(track, due)
    yield from _round_in_circles(words)
    yield from _made_up(track, due)
    yield from _language(track, due, told)
    yield from _certainty(track)


def form(track: Mapping[str, Any], due: Track) -> Iterator[Verdict]:
    """What must hold of a track whoever wrote its words: order, places in time, segments."""
    words: Words = track["words"]
    yield expect("is as long as the track", track["samples"] == due.samples, track["samples"], due.samples)
    spans = [(piece["start"], piece["end"], piece["first"], piece["last"]) for piece in track["pieces"]]
    planned = [(piece.start, piece.end, piece.first, piece.last) for piece in due.pieces]
    yield expect("has all its pieces", spans == planned, len(spans), len(planned))
    starts = [int(word["start"]) for word in words]
    in_order = all(before <= after for before, after in itertools.pairwise(starts))
    inside = all(0 <= int(word["start"]) < int(word["end"]) <= due.samples for word in words)
    yield expect("has words in order inside the media", in_order and inside, "", f"0 to {due.samples}")
    written = all(
        isinstance(word["text"], str)
        and 0 < len(word["text"]) <= MOST_WORD
        and word["text"].isprintable()
        and word["text"] == word["text"].strip()
        for word in words
    )
    yield expect("has words that can be shown", written)
    sure = [word["confidence"] for word in words]
    yield expect("has confidences in thousandths", all(each is None or 0 <= int(each) <= 1000 for each in sure))
    firsts = list(itertools.accumulate([int(each["words"]) for each in track["segments"]], initial=0))
    whole = firsts[-1] == len(words) and [int(each["first"]) for each in track["segments"]] == firsts[:-1]
    placed = whole and all(
        int(each["words"]) > 0
        and each["start"] == words[int(each["first"])]["start"]
        and each["end"] == max(word["end"] for word in words[int(each["first"]) :][: int(each["words"])])
        for each in track["segments"]
    )
    yield expect("has each word in one segment", placed)


def _where(track: Mapping[str, Any], due: Track) -> Iterator[Verdict]:
    words: Words = track["words"]
    speech = _asked(track, due)
    share = _covered(due, words)
    found = f"{float(share):.2f} of speech"
    if share < COVERED_AT_ALL:
        yield failed("covers what is said", found, f"{float(COVERED_AT_ALL)} at least")
    else:
        of_asked = _share_covered(speech, words)
        clear = of_asked >= COVERED_WELL and share >= COVERED_WELL
        yield passed("covers what is said", found) if clear else warned("covers what is said", found, "0.8")
    longest = _longest_left_out(uncovered(speech, words), words)
    if longest > UNCOVERED_S * RATE_HZ:
        yield warned("leaves out no stretch of speech", f"{longest / RATE_HZ:.1f} s", f"{UNCOVERED_S} s at most")
    else:
        yield passed("leaves out no stretch of speech", f"{longest / RATE_HZ:.1f} s")
    cut_off = _cut_off(track, due)
    yield expect("is not cut off", cut_off is None, cut_off or "")
    unspoken = Fraction(sum(not _is_spoken(word, due.speech) for word in words), len(words))
    shown = f"{float(unspoken):.2f} of words"
    if unspoken > UNSPOKEN:
        yield failed("says nothing where nobody speaks", shown, f"{float(UNSPOKEN)} at most")
    elif unspoken > UNSPOKEN_SOME:
        yield warned("says nothing where nobody speaks", shown, f"{float(UNSPOKEN_SOME)}")
    else:
        yield passed("says nothing where nobody speaks", shown)
    if not all(piece["kept"] for piece in track["pieces"]):
        left = sum(not piece["kept"] for piece in track["pieces"])
        yield warned("is understood throughout", f"{left} of {len(track['pieces'])} pieces are not")


def _longest_left_out(spans: Sequence[tuple[int, int]], words: Words) -> int:
    """The most speech in a row, pauses not counted, without a word."""
    starts = [int(word["start"]) for word in words]
    longest = run = 0
    for number, (start, end) in enumerate(spans):
        before = spans[number - 1][1] if number else start
        is_going_on = bisect_left(starts, before) == bisect_left(starts, start)
        run = run + end - start if is_going_on else end - start
        longest = max(longest, run)
    return longest


def _asked(track: Mapping[str, Any], due: Track) -> list[tuple[int, int]]:
    """Speech in the pieces whose words are kept."""
    kept = [(int(piece["first"]), int(piece["last"])) for piece in track["pieces"] if piece["kept"]]
    return _within(due.speech, kept)


def _within(speech: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What two lists of spans, each in order, have in common."""
    found = []
    at = 0
    for first, last in spans:
        while at < len(speech) and speech[at][1] <= first:
            at += 1
        number = at
        while number < len(speech) and speech[number][0] < last:
            found.append((max(first, speech[number][0]), min(last, speech[number][1])))
            number += 1
    return found


def _covered(due: Track, words: Words) -> Fraction:
    return _share_covered(due.speech, words)


def _share_covered(speech: Sequence[tuple[int, int]], words: Words) -> Fraction:
    spoken = sum(end - start for start, end in speech)
    missing = sum(end - start for start, end in uncovered(speech, words))
    return Fraction(spoken - missing, spoken) if spoken else Fraction(0)


def _cut_off(track: Mapping[str, Any], due: Track) -> str | None:
    """What piece says nothing of its last part, though somebody speaks there."""
    last_word: dict[int, int] = {}
    for word in track["words"]:
        last_word[int(word["piece"])] = max(last_word.get(int(word["piece"]), 0), int(word["end"]))
    for number, piece in enumerate(track["pieces"]):
        if not piece["kept"]:
            continue
        own = _within(due.speech, [(int(piece["first"]), int(piece["last"]))])
        spoken = sum(end - start for start, end in own)
        after = last_word.get(number, int(piece["first"])) + int(NEAR_S * RATE_HZ)
        tail = sum(max(0, end - max(start, after)) for start, end in own)
        is_short = tail <= TAIL_S * RATE_HZ or tail <= TAIL_SHARE * spoken
        if not is_short or tail > TAIL_LONG_S * RATE_HZ:
            return f"piece {number}: {tail / RATE_HZ:.1f} s of speech after its last word"
    return None


def _is_spoken(word: Mapping[str, Any], speech: Sequence[tuple[int, int]]) -> bool:
    """Whether somebody speaks near the middle of a word. `speech` is in order."""
    middle = (int(word["start"]) + int(word["end"])) // 2
    near = int(NEAR_S * RATE_HZ)
    low, high = 0, len(speech)
    while low < high:
        at = (low + high) // 2
        if speech[at][1] + near <= middle:
            low = at + 1
        else:
            high = at
    return low < len(speech) and speech[low][0] - near <= middle


def _how_much(track: Mapping[str, Any], due: Track) -> Iterator[Verdict]:
    is_unspaced = primary(str(track["language"] or "")) in UNSPACED
    most = UNSPACED_RATE if is_unspaced else MOST_RATE
    speech = _asked(track, due)
    spoken_s = Fraction(sum(end - start for start, end in speech), RATE_HZ)
    counts: dict[int, int] = {}
    for word in track["words"]:
        counts[int(word["piece"])] = counts.get(int(word["piece"]), 0) + 1
    fastest = Fraction(0)
    for number, piece in enumerate(track["pieces"]):
        own_s = Fraction(sum(b - a for a, b in _within(due.speech, [(piece["first"], piece["last"])])), RATE_HZ)
        if own_s >= SHORTEST_JUDGED_S:
            fastest = max(fastest, counts.get(number, 0) / own_s)
    rate = len(track["words"]) / spoken_s if spoken_s else most + 1
    is_judged = spoken_s >= SHORTEST_JUDGED_S
    slow_enough = (rate <= most and fastest <= most) or not is_judged
    shown = f"{float(max(rate, fastest)):.2f} words a second"
    yield expect("says no more than people can", slow_enough, shown, f"{float(most)} at most")
    yield expect("says as much as a speaker does", rate >= LEAST_RATE or not is_judged, shown, float(LEAST_RATE))


def _round_in_circles(words: Words) -> Iterator[Verdict]:
    bare = [folded(word["text"]) for word in words]
    loop = worst_loop(bare)
    phrase = " ".join(str(word["text"]) for word in words[loop.first :][: loop.phrase]) if loop else ""
    shown = f"{phrase[:60]!r} {loop.times} times" if loop else ""
    yield expect("does not go round in circles", loop is None, shown)
    ratio = worst_compression(bare)
    if ratio > COMPRESSION:
        yield warned("does not repeat itself much", ratio / 100, COMPRESSION / 100)
    else:
        yield passed("does not repeat itself much", ratio / 100)


def _made_up(track: Mapping[str, Any], due: Track) -> Iterator[Verdict]:
    words: Words = track["words"]
    suspicious = unspoken = 0
    examples: list[str] = []
    refusals: list[str] = []
    for segment in track["segments"]:
        own = words[int(segment["first"]) :][: int(segment["words"])]
        text = " ".join(str(word["text"]) for word in own)
        phrase = found_in(text, CREDITS) or found_in(text, FAREWELLS)
        if phrase is not None:
            examples.append(phrase)
            if phrase in CREDITS or 2 * len(folded(phrase)) >= len(folded(text)):
                suspicious += len(own)
                unspoken += not any(_is_spoken(word, due.speech) for word in own)
        refusals += [each for each in [found_in(text, REFUSALS)] if each is not None]
    is_all = suspicious > PHRASES * len(words)
    clause = "says nothing that models make up"
    if unspoken or is_all:
        yield failed(clause, ", ".join(sorted(set(examples)))[:120])
    else:
        yield warned(clause, ", ".join(sorted(set(examples)))[:120]) if examples else passed(clause)
    clause = "is an answer, no excuse"
    if refusals and len(words) <= SHORT:
        yield failed(clause, ", ".join(sorted(set(refusals)))[:120])
    else:
        yield warned(clause, ", ".join(sorted(set(refusals)))[:120]) if refusals else passed(clause)


def _language(track: Mapping[str, Any], due: Track, told: Mapping[str, Any]) -> Iterator[Verdict]:
    language = track["language"]
    known = [str(tag) for tag in told["model"].get("languages") or ()]
    if language is None:
        yield warned("says its language", "neither the source nor the model does")
        return
    yield passed("says its language", language)
    yield expect("is in a language of the model", not known or is_spoken(language, known), language, ", ".join(known))
    yield expect("is in the source's language", due.language in {None, language}, language, due.language or "")
    heard: dict[str, int] = {}
    for piece in track["pieces"]:
        if piece["language"] is not None and piece["kept"]:
            tag = primary(piece["language"])
            heard[tag] = heard.get(tag, 0) + int(piece["last"]) - int(piece["first"])
    others = sum(heard.values()) - heard.get(primary(language), 0)
    share = Fraction(others, sum(heard.values())) if heard else Fraction(0)
    shown = ", ".join(sorted(heard))
    if due.language is not None and share > Fraction(1, 2):
        yield failed("is heard in that language", shown, language)
    else:
        yield warned("is heard in that language", shown, language) if share else passed("is heard in that language")
    texts = [str(word["text"]) for word in track["words"]]
    foreign, letters = foreign_letters(texts, language)
    is_written = foreign <= FOREIGN_LETTERS * letters
    yield expect("is written in that language's letters", is_written, f"{foreign} of {letters} letters are not")
    other = other_tongue(texts, language)
    yield expect("is written in that language", other is None, other or "", language)


def _certainty(track: Mapping[str, Any]) -> Iterator[Verdict]:
    sure = [int(word["confidence"]) for word in track["words"] if word["confidence"] is not None]
    mean = sum(sure) // len(sure) if sure else 1000
    clause = "is sure of its words"
    yield passed(clause, mean) if mean >= UNSURE else warned(clause, f"{mean} of 1000", UNSURE)
    passages = [
        each
        for piece in track["pieces"]
        if piece["kept"]
        for each in piece["passages"]
        if each["log_probability"] is not None
    ]
    unsure = [each for each in passages if int(each["log_probability"]) < LOG_PROBABILITY]
    if unsure:
        yield warned("is sure of its passages", f"{len(unsure)} of {len(passages)} are unsure")
    if track["timing"] != "word":
        yield warned("has times of words", f"they are spread over a {track['timing']}")
