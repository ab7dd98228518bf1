"""Exact time: the timescale of a source, ticks, rationals, spans."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.timeline import (
    MAX_TIMESCALE,
    MIN_TIMESCALE,
    MPEG_TIMESCALE,
    Span,
    from_rational,
    media_timescale,
    rational,
    to_seconds,
    to_ticks,
)

time_bases = st.builds(Fraction, st.integers(1, 10_000), st.integers(1, 10_000_000))
times = st.fractions(min_value=-100_000, max_value=100_000, max_denominator=1_000_000)
timescales = st.integers(1, MAX_TIMESCALE)


@pytest.mark.parametrize(
    ("time_base", "timescale"),
    [
        (Fraction(1, 25), MPEG_TIMESCALE),
        (Fraction(1001, 30_000), MPEG_TIMESCALE),
        (Fraction(1, 1000), MPEG_TIMESCALE),
        (Fraction(1001, 24_000), 24_000),
        (Fraction(1, 12_800), 12_800),
        (Fraction(1, 44_100), 44_100),
        (Fraction(1, 1_000_000_000), 1_000_000_000),
    ],
)
def test_the_timescale_of_usual_time_bases(time_base: Fraction, timescale: int) -> None:
    assert media_timescale(time_base) == timescale


@given(time_bases)
def test_every_multiple_of_a_time_base_is_a_whole_number_of_ticks(time_base: Fraction) -> None:
    timescale = media_timescale(time_base)
    assert (time_base * timescale).denominator == 1
    assert MIN_TIMESCALE <= timescale <= MAX_TIMESCALE


@pytest.mark.parametrize("time_base", [Fraction(0), Fraction(-1, 25), Fraction(1, MAX_TIMESCALE + 1)])
def test_a_time_base_that_no_track_can_have_is_refused(time_base: Fraction) -> None:
    with pytest.raises(ValueError, match="time base"):
        media_timescale(time_base)


@given(times, timescales)
def test_ticks_are_the_nearest_there_are(time_s: Fraction, timescale: int) -> None:
    assert abs(to_seconds(to_ticks(time_s, timescale), timescale) - time_s) * timescale <= Fraction(1, 2)


@given(st.integers(-(10**12), 10**12), timescales)
def test_ticks_survive_the_way_to_seconds_and_back(ticks: int, timescale: int) -> None:
    assert to_ticks(to_seconds(ticks, timescale), timescale) == ticks


@given(times, timescales)
def test_rounding_is_the_same_on_both_sides_of_zero(time_s: Fraction, timescale: int) -> None:
    assert to_ticks(-time_s, timescale) == -to_ticks(time_s, timescale)


def test_halves_go_away_from_zero() -> None:
    assert [to_ticks(Fraction(n, 2), 1) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]


@given(times)
def test_a_rational_survives_json(value: Fraction) -> None:
    assert from_rational(rational(value)) == value


@given(st.integers(0, 10**9), st.integers(1, 10**9), timescales)
def test_a_span_survives_json_and_knows_its_length(start: int, length: int, timescale: int) -> None:
    span = Span(start, start + length, timescale)
    assert Span.from_json(span.to_json()) == span
    assert span.duration == length
    assert span.duration_s == Fraction(length, timescale)


@pytest.mark.parametrize("end", [0, 9, 10])
def test_a_span_without_length_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="length"):
        Span(10, end, 1000)
