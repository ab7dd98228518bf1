"""The likeness of a sound: small, the same however blocks fall, kept by real encodes and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from processing.contracts.likeness import alike
from processing.manifest import Outcome
from processing.sound.layouts import STEREO, SURROUND_51
from processing.sound.likeness import LikenessMeter, read_likeness
from tests.media_sound import RATE_HZ, noise, run_pass, tone, unit_verdicts, write_sound
from tests.media_spoiled import spoken

LOUD = "is as loud as it was given, at every moment"
SAME = "sounds as it was given"
PLACE = "has every channel in its place"


def measured(samples, *, rate_hz=RATE_HZ, step=RATE_HZ):
    meter = LikenessMeter(rate_hz, len(samples))
    for at in range(0, samples.shape[1], step):
        meter.push(samples[:, at : at + step].astype(np.float32))
    return read_likeness(meter.finish(), len(samples))


def unlike(given, heard, channels=STEREO) -> set[str]:
    verdicts = alike(measured(given), measured(heard), channels)
    return {verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED}


def test_an_hour_of_surround_sound_takes_less_than_a_megabyte():
    meter = LikenessMeter(RATE_HZ, 6)
    meter.push(np.zeros((6, 10 * RATE_HZ), np.float32))
    assert len(meter.finish()) * 360 == 864_000


@pytest.mark.parametrize("step", [1, 1024, 4800, 100_000])
def test_it_does_not_depend_on_how_samples_come_in(step):
    sound = spoken(0.33 if step == 1 else 2.05)
    assert np.array_equal(measured(sound, step=step), measured(sound))


def test_its_level_is_that_of_a_tone_and_its_last_block_is_filled_up_with_silence():
    level = measured(tone([(1.05, -20)]))[:, 0, 0]
    assert len(level) == 11
    assert level[:10] == pytest.approx(32_768 * 0.1 / np.sqrt(2), rel=0.03)
    assert level[10] == pytest.approx(level[0] / np.sqrt(2), rel=0.03)


def test_what_was_cut_or_is_of_other_channels_cannot_be_read():
    with pytest.raises(ValueError, match="not whole blocks"):
        read_likeness(bytes(4 * 2 * 10 + 4), 2)


@pytest.mark.parametrize(
    ("sound", "layout"),
    [
        (noise(6.0), "stereo"),
        (noise(6.0, channels=1), "mono"),
        (noise(6.0, channels=6), "5.1"),
        (noise(6.0) * (np.arange(6 * RATE_HZ) // 12_000 % 2), "stereo"),
        (np.tile(np.arange(6 * RATE_HZ) % 24_000 < 20, (2, 1)) * 0.8, "stereo"),
        (np.clip(spoken(6.0) * 20, -1, 1), "stereo"),
        (tone([(6, -20)], hz=19_000), "stereo"),
        (tone([(2, -20), (2, -70), (2, -20)], hz=50), "stereo"),
        (spoken(6.0) * 0.002, "stereo"),
    ],
    ids=["white", "white mono", "white 5.1", "bursts", "clicks", "clipped", "all that is dropped", "swells", "quiet"],
)
def test_what_an_encoder_cannot_keep_is_not_held_against_it(tmp_path, sound, layout):
    made = run_pass(write_sound(tmp_path / "a.wav", sound, layout=layout), tmp_path)
    assert [v.clause for v in unit_verdicts(made) if v.outcome is Outcome.FAILED] == []


def test_a_gap_of_a_tenth_of_a_second_is_noticed():
    sound = spoken(12.0)
    gap = sound.copy()
    loudest = int(measured(sound)[:, 1, 0].argmax())
    gap[1, loudest * 4800 : (loudest + 1) * 4800] = 0.0
    assert LOUD in unlike(sound, gap)


def test_sound_where_silence_was_is_noticed():
    sound = spoken(12.0)
    sound[:, 5 * RATE_HZ : 6 * RATE_HZ] = 0.0
    filled = sound.copy()
    filled[:, 5 * RATE_HZ : 6 * RATE_HZ] = noise(1.0, level=0.01)
    assert unlike(sound, filled) == {LOUD}


def test_other_sound_with_the_same_levels_is_noticed():
    """A steady tone and steady noise have one and the same curve of levels."""
    steady = noise(12.0)
    assert unlike(steady, noise(12.0, seed=2)) == {SAME}


def test_channels_that_are_nearly_the_same_may_not_be_swapped():
    left, right = spoken(12.0)
    sound = np.stack([left + 0.3 * right, left + 0.2 * right])
    assert unlike(sound, sound[::-1]) == {PLACE}


def test_a_low_frequency_channel_may_lose_but_not_gain():
    sound = noise(12.0, channels=6)
    less, more = sound.copy(), sound.copy()
    less[3] *= 0.1
    more[3] *= 10
    assert unlike(sound, less, SURROUND_51) == set()
    assert unlike(sound, more, SURROUND_51) == {LOUD}


def test_a_rest_that_is_not_heard_is_noticed():
    sound = spoken(3.0)
    assert unlike(sound, sound[:, : 2 * RATE_HZ]) == {"is heard for as long as it was given"}


def test_noise_that_reaches_into_the_block_before_a_sudden_start_is_a_codec_s():
    sound = np.concatenate([np.zeros((2, RATE_HZ)), tone([(2, -10)])], axis=1)
    early = sound.copy()
    early[:, RATE_HZ - 2_000 : RATE_HZ] = noise(2_000 / RATE_HZ, level=0.02)
    assert unlike(sound, early) == set()
    early[:, RATE_HZ - 7_000 : RATE_HZ - 5_000] = noise(2_000 / RATE_HZ, level=0.02)
    assert unlike(sound, early) == {LOUD}


def test_waveforms_are_not_judged_where_chance_has_a_say():
    """Ten numbers of white noise and of its encode may correlate by less than half; levels still count."""
    short = noise(1.9)
    assert unlike(short, noise(1.9, seed=2)) == set()
    bursts = [np.pad(noise(0.2, seed=seed), ((0, 0), (RATE_HZ, 8 * RATE_HZ))) for seed in range(5)]
    assert [unlike(bursts[0], other) for other in bursts] == [set()] * 5
