"""Loudspeaker layouts: weights, names and downmixes, and the resampler's exact count."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.sound.graphs import Resampler, resampled_length
from processing.sound.layouts import (
    MONO,
    STEREO,
    SURROUND_51,
    channel_names,
    is_identity,
    listening_layout,
    loudness_weights,
    mix,
    mix_matrix,
)

SIDE_51 = ("FL", "FR", "FC", "LFE", "SL", "SR")
SURROUND_71 = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
KNOWN = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR", "BC", "FLC", "FRC", "TFL", "TFR", "TBL", "TBR", "TC", "WL")


@pytest.mark.parametrize(
    ("names", "target"),
    [
        (MONO, MONO),
        (STEREO, STEREO),
        (("FL", "FR", "LFE"), STEREO),
        (("FL", "FR", "BL", "BR"), STEREO),
        (("FL", "FR", "FC", "BL", "BR"), SURROUND_51),
        (SIDE_51, SURROUND_51),
        (SURROUND_71, SURROUND_51),
        (("NONE",) * 12, MONO),
    ],
)
def test_people_get_mono_stereo_or_5_1(names, target):
    assert listening_layout(names) == target


def test_5_1_with_side_loudspeakers_is_5_1_with_rear_ones():
    assert is_identity(mix_matrix(SIDE_51, SURROUND_51))


def test_stereo_folds_to_the_mean_of_its_channels():
    assert mix_matrix(STEREO, MONO)[0] == pytest.approx((0.5, 0.5))


def test_5_1_folds_to_stereo_by_the_coefficients_of_bs_775():
    left = np.array(mix_matrix(SIDE_51, STEREO)[0])
    assert left / left[0] == pytest.approx([1, 0, 0.7071, 0, 0.7071, 0], abs=1e-4)


def test_mono_in_two_loudspeakers_keeps_its_power():
    assert sum(row[0] ** 2 for row in mix_matrix(MONO, STEREO)) == pytest.approx(1.0)


@given(st.lists(st.sampled_from(KNOWN), min_size=2, max_size=len(KNOWN), unique=True))
@settings(max_examples=100, deadline=None)
def test_no_downmix_can_clip_and_none_loses_a_channel_but_the_low_one(names):
    for target in (MONO, STEREO, SURROUND_51):
        matrix = mix_matrix(names, target)
        assert max(sum(row) for row in matrix) <= 1.0 + 1e-12
        assert min(gain for row in matrix for gain in row) >= 0.0
        for column, name in enumerate(names):
            if name != "LFE":
                assert sum(row[column] for row in matrix) > 0.0


def test_rear_loudspeakers_are_surround_only_where_there_are_no_side_ones():
    assert loudness_weights(SURROUND_51) == (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)
    assert loudness_weights(SURROUND_71) == (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41)


def test_channels_without_names_get_the_usual_ones_and_many_stay_unplaced():
    assert channel_names(["NONE"] * 6) == SURROUND_51
    assert channel_names(["FL"]) == MONO
    matrix = mix_matrix(channel_names(["NONE"] * 16), MONO)
    assert matrix[0] == pytest.approx([1 / 16] * 16)


def test_mixing_is_what_the_matrix_says():
    samples = np.random.default_rng(1).standard_normal((6, 100))
    matrix = mix_matrix(SIDE_51, STEREO)
    assert mix(samples, matrix) == pytest.approx(np.array(matrix) @ samples)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=5), st.sampled_from([8000, 11_025, 44_100, 48_000, 96_000]))
@settings(max_examples=40, deadline=None)
def test_a_resampler_gives_the_exact_number_of_samples_whatever_the_blocks(lengths, rate_hz):
    resampler = Resampler(rate_hz, 16_000, 2)
    given_out = sum(resampler.push(np.ones((2, length))).shape[1] for length in lengths)
    given_out += resampler.finish().shape[1]
    assert given_out == resampler.given == resampled_length(sum(lengths), Fraction(16_000, rate_hz))


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
def test_a_resampler_moves_nothing_in_time(rate_hz):
    samples = np.zeros((1, rate_hz))
    samples[0, rate_hz // 2 - 20 : rate_hz // 2 + 20] = np.hanning(40)
    resampler = Resampler(rate_hz, 16_000, 1)
    out = np.concatenate([resampler.push(samples), resampler.finish()], axis=1)
    centre = float(np.sum(np.arange(16_000) * out[0] ** 2) / np.sum(out[0] ** 2))
    assert centre == pytest.approx((rate_hz // 2 - 0.5) * 16_000 / rate_hz, abs=0.1)
