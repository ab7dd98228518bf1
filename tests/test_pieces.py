"""A track cut into pieces: in pauses, bounded in length and number, with no word lost or said twice at a border."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.sound.speech import WINDOW
from processing.words.answers.speech import RATE_HZ, SpokenWord
from processing.words.piece_files import pcm_of, write_pieces
from processing.words.pieces import Piece, cut, together
from processing.words.transcript_plan import PIECE_RULES
from tests.media_sound import noise, run_pass, write_sound

RULES = {**PIECE_RULES, "longest_s": 30, "most": 40}
NOT_KNOWN = np.zeros(0, np.uint8)


def seconds(*spans: tuple[float, float]) -> list[tuple[int, int]]:
    return [(round(start * RATE_HZ), round(end * RATE_HZ)) for start, end in spans]


def own_spans(found: list[Piece]) -> list[tuple[float, float]]:
    return [(piece.first / RATE_HZ, piece.last / RATE_HZ) for piece in found]


@pytest.mark.parametrize(
    ("speech", "due"),
    [
        (seconds(), []),
        (seconds((1, 2)), [(1, 2)]),
        (seconds((1, 2), (3, 4)), [(1, 4)]),  # a breath
        (seconds((1, 2), (9, 10)), [(1, 2), (9, 10)]),  # nobody speaks for seven seconds: not sent
        (seconds((0, 12), (13, 20), (21, 28), (28.1, 40)), [(0, 20), (21, 40)]),  # longest pause of the second half
        (seconds((0, 12), (15, 20), (20.5, 27), (28, 40)), [(0, 27), (28, 40)]),  # three seconds, but too early
    ],
)
def test_pieces_are_cut_in_pauses(speech: list[tuple[int, int]], due: list[tuple[float, float]]) -> None:
    assert own_spans(cut(speech, 60 * RATE_HZ, RULES, NOT_KNOWN)) == due


def test_a_stretch_without_a_pause_is_cut_where_speech_is_least_likely_and_both_pieces_have_the_place() -> None:
    probabilities = np.full(60 * RATE_HZ // WINDOW, 250, np.uint8)
    probabilities[20 * RATE_HZ // WINDOW] = 120
    found = cut(seconds((0, 40)), 60 * RATE_HZ, RULES, probabilities)
    assert len(found) == 2
    assert abs(found[0].last - 20 * RATE_HZ) <= WINDOW
    assert found[1].first == found[0].last
    assert found[0].end - found[0].last == found[1].first - found[1].start == RATE_HZ


def test_six_hours_of_coughs_give_no_more_questions_than_the_bound() -> None:
    """A microphone left on in an office: somebody speaks every nine seconds."""
    speech = seconds(*((at, at + 0.3) for at in range(0, 6 * 3600, 9)))
    found = cut(speech, 6 * 3600 * RATE_HZ, {**PIECE_RULES, "most": 200}, NOT_KNOWN)
    assert 0 < len(found) <= 200
    assert all(piece.samples <= PIECE_RULES["longest_s"] * RATE_HZ for piece in found)
    assert own_spans(found)[0][0] == 0
    assert own_spans(found)[-1][1] == pytest.approx(speech[-1][1] / RATE_HZ)


@st.composite
def tracks(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    lengths = draw(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 60_000)), max_size=60))
    at, speech = 0, []
    for pause, length in lengths:
        start = (at + pause * 10 + 1) * 10
        speech.append((start, start + length * 10))
        at = (start + length * 10) // 10
    return speech, (at + draw(st.integers(1, 5_000))) * 10


@settings(deadline=None, max_examples=200)
@given(tracks())
def test_any_pieces_hold_all_speech_once_and_are_bounded(track: tuple[list[tuple[int, int]], int]) -> None:
    speech, samples = track
    found = cut(speech, samples, {**RULES, "most": 10_000}, np.full(samples // WINDOW, 200, np.uint8))
    assert all(0 <= each.start <= each.first < each.last <= each.end <= samples for each in found)
    assert all(each.samples <= RULES["longest_s"] * RATE_HZ for each in found)
    assert all(before.last <= after.first for before, after in itertools.pairwise(found))
    for start, end in speech:
        held = sum(max(0, min(end, each.last) - max(start, each.first)) for each in found)
        assert held == end - start
        borders = [each.last for each in found if start < each.last < end]
        assert not borders or end - start > (RULES["longest_s"] - 2) * RATE_HZ


def said(*words: tuple[str, float, float]) -> list[SpokenWord]:
    return [SpokenWord(text, round(start * RATE_HZ), round(end * RATE_HZ)) for text, start, end in words]


LEFT = Piece(0, 11 * RATE_HZ, 0, 10 * RATE_HZ)  # its own: ten seconds
RIGHT = Piece(9 * RATE_HZ, 20 * RATE_HZ, 10 * RATE_HZ, 20 * RATE_HZ)


@pytest.mark.parametrize(
    ("left", "right", "due"),
    [
        # Both have the words around the cut, a little apart in time.
        (
            said(("ask", 9.1, 9.4), ("not", 9.6, 10.1), ("what", 10.2, 10.6)),
            said(("Not", 0.7, 1.1), ("what", 1.25, 1.7), ("your", 2, 2.4)),
            "ask not what your",
        ),
        # The cut goes through a word: the first heard a half of it, the second all.
        (said(("un", 9.9, 10.9)), said(("understand", 0.95, 2.0), ("me", 2.1, 2.3)), "understand me"),
        # One of them missed a word that the other has: nothing is lost.
        (said(("one", 9.2, 9.5)), said(("two", 0.7, 0.9), ("three", 1.2, 1.5)), "one two three"),
        (said(("one", 9.2, 9.5), ("two", 10.2, 10.5)), said(("three", 1.7, 1.9)), "one two three"),
        # The same word said twice in truth stays twice.
        (said(("no", 9.1, 9.3), ("no", 9.4, 9.6)), said(("no", 1.4, 1.6)), "no no no"),
        ([], said(("alone", 0.5, 0.8)), "alone"),
        (said(("alone", 10.5, 10.8)), [], "alone"),
    ],
)
def test_words_at_a_border_are_there_once(left: list[SpokenWord], right: list[SpokenWord], due: str) -> None:
    found = together([(LEFT, left), (RIGHT, right)])
    assert " ".join(word.text.lower() for word in found) == due


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(-20, 20))
def test_what_both_pieces_hear_alike_is_never_lost_or_doubled(lengths: list[int], shift_ms: int) -> None:
    """Both models hear every word of the overlap, the second up to 20 ms off."""
    words, at = [], 0.0
    for number, length in enumerate(lengths):
        words.append((f"w{number}", at, at + 0.05 + length / 50))
        at += 0.06 + length / 50
    left = said(*(word for word in words if word[2] <= 11))
    offset = shift_ms / 1000 - 9
    right = said(*((text, start + offset, end + offset) for text, start, end in words if start >= 9.02 and end < 20))
    expected = [word[0] for word in words if word[2] <= 11 or (word[1] >= 9.02 and word[2] < 20)]
    assert [word.text for word in together([(LEFT, left), (RIGHT, right)])] == expected


def test_files_of_pieces_hold_the_very_samples_of_the_track(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(5), rate_hz=48_000)
    made = run_pass(path, tmp_path)
    track = made.folder("flac/0") / "audio.flac"
    whole = pcm_of(track)
    wanted = [Piece(0, 7_000, 0, 7_000), Piece(6_000, 50_001, 6_500, 50_000), Piece(70_000, len(whole), 70_001, 70_002)]
    files = [(piece, tmp_path / "asks" / str(number) / "audio.flac") for number, piece in enumerate(wanted)]
    write_pieces(track, files)
    for piece, file in files:
        assert np.array_equal(pcm_of(file), whole[piece.start : piece.end])
