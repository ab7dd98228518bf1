"""Loudness against the signals of EBU Tech 3341 and 3342, against ffmpeg, and against reports that are wrong."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from processing.contracts import loudness as contract_module
from processing.contracts import waveform as waveform_contract
from processing.manifest import Outcome
from processing.sound import loudness, plan, r128, waveform
from tests.corpus import corpus_file
from tests.media_sound import (
    RATE_HZ,
    energies_of,
    ffmpeg,
    ideal_peak_db,
    index_verdicts,
    inter_sample_burst,
    judged,
    make_report,
    measured,
    noise,
    report_task,
    run_pass,
    tone,
    true_peak_tone,
    unit_verdicts,
    write_sound,
)

STEREO = ("FL", "FR")
SILENCE = -math.inf


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(20, -23)], -23.0),
        ([(20, -33)], -33.0),
        ([(10, -36), (60, -23), (10, -36)], -23.0),
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23.0),
        ([(20, -26), (20.1, -20), (20, -26)], -23.0),
    ],
    ids=["case 1", "case 2", "case 3", "case 4", "case 5"],
)
def test_integrated_loudness_is_within_a_tenth_of_tech_3341(tmp_path, pieces, expected):
    assert measured(tmp_path, tone(pieces), STEREO)["integrated_lufs"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("names", [("FL", "FR", "FC", "SL", "SR"), ("FL", "FR", "FC", "BL", "BR")])
def test_surround_channels_are_weighted_as_case_6_of_tech_3341_asks(tmp_path, names):
    levels = (-28, -28, -24, -30, -30)
    five = np.concatenate([tone([(20, level)], channels=1) for level in levels])
    assert measured(tmp_path, five, names)["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_the_low_frequency_channel_does_not_count(tmp_path):
    five = np.concatenate([tone([(5, level)], channels=1) for level in (-28, -28, -24, -30, -30)])
    six = np.insert(five, 3, tone([(5, -6)], hz=60, channels=1), axis=0)
    without = measured(tmp_path / "5", five, ("FL", "FR", "FC", "SL", "SR"))["integrated_lufs"]
    assert measured(tmp_path / "6", six, ("FL", "FR", "FC", "LFE", "SL", "SR"))["integrated_lufs"] == without


def test_short_term_loudness_stays_constant_in_case_9_of_tech_3341(tmp_path):
    energies, _ = energies_of(tmp_path, tone([(1.34, -20), (1.66, -30)] * 5), STEREO)
    values = [r128.lufs(float(energy)) for energy in r128.windows(energies, r128.SHORT_TERM_HOPS)]
    assert min(values) == pytest.approx(-23.0, abs=0.1)
    assert max(values) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("offset", [0, 1, 7, 13, 19])
def test_the_short_term_maximum_does_not_depend_on_where_a_tone_starts(tmp_path, offset):
    """Case 10 of Tech 3341."""
    figures = measured(tmp_path, tone([(0.15 * offset, SILENCE), (3, -23), (1, SILENCE)]), STEREO)
    assert figures["short_term_max_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_short_term_maxima_of_successive_segments_are_those_of_case_11_of_tech_3341(tmp_path):
    pieces = []
    for number in range(20):
        pieces += [(0.15 * number, SILENCE), (3, -38 + number), (3 - 0.15 * number, SILENCE)]
    energies, _ = energies_of(tmp_path, tone(pieces), STEREO)
    for number in range(20):
        segment = energies[: 600 * (number + 1)]
        assert r128.loudest(segment, r128.SHORT_TERM_HOPS).value == pytest.approx(-38 + number, abs=0.1)


def test_momentary_loudness_stays_constant_in_case_12_of_tech_3341(tmp_path):
    energies, _ = energies_of(tmp_path, tone([(0.18, -20), (0.22, -30)] * 25), STEREO)
    values = [r128.lufs(float(energy)) for energy in r128.windows(energies, r128.MOMENTARY_HOPS)[100:]]
    assert min(values) == pytest.approx(-23.0, abs=0.1)
    assert max(values) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 10, 19])
def test_the_momentary_maximum_does_not_depend_on_where_a_burst_starts(tmp_path, offset):
    """Case 13 of Tech 3341: on a grid of 100 ms a burst of 400 ms reads up to 0.6 LU low."""
    figures = measured(tmp_path, tone([(0.02 * offset, SILENCE), (0.4, -23), (1, SILENCE)]), STEREO)
    assert figures["momentary_max_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_momentary_maxima_of_successive_bursts_are_those_of_case_14_of_tech_3341(tmp_path):
    pieces = []
    for number in range(20):
        pieces += [(0.02 * number, SILENCE), (0.4, -38 + number), (0.4 - 0.02 * number, SILENCE)]
    energies, _ = energies_of(tmp_path, tone(pieces), STEREO)
    for number in range(20):
        segment = energies[: 80 * (number + 1)]
        assert r128.loudest(segment, r128.MOMENTARY_HOPS).value == pytest.approx(-38 + number, abs=0.1)


@pytest.mark.parametrize(
    ("divisor", "amplitude", "degrees", "expected"),
    [(4, 0.5, 0, -6.0), (4, 0.5, 45, -6.0), (6, 0.5, 60, -6.0), (8, 0.5, 67.5, -6.0), (4, 1.41, 45, 3.0)],
    ids=["case 15", "case 16", "case 17", "case 18", "case 19"],
)
def test_the_true_peak_of_a_tone_is_within_the_tolerance_of_tech_3341(tmp_path, divisor, amplitude, degrees, expected):
    found = measured(tmp_path, true_peak_tone(divisor, amplitude, degrees), ("FC",))["true_peak_dbtp"]
    assert -0.4 <= found - expected <= 0.2


@pytest.mark.parametrize("offset", range(4), ids=["case 20", "case 21", "case 22", "case 23"])
def test_a_peak_between_samples_is_found_wherever_it_lies(tmp_path, offset):
    burst = inter_sample_burst(offset)
    found = measured(tmp_path, burst, ("FC",))["true_peak_dbtp"]
    assert -0.4 <= found - ideal_peak_db(burst) <= 0.2
    assert -0.4 <= found - 0.0 <= 0.2


@pytest.mark.parametrize("rate_hz", [44_100, 96_000])
def test_true_peaks_are_found_at_other_rates_too(tmp_path, rate_hz):
    found = measured(tmp_path, true_peak_tone(4, 0.5, 45, rate_hz=rate_hz), ("FC",), rate_hz)["true_peak_dbtp"]
    assert -0.4 <= found + 6.0 <= 0.2


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((-20, -30), 10), ((-20, -15), 5), ((-40, -20), 20), ((-50, -35, -20, -35, -50), 15)],
    ids=["case 1", "case 2", "case 3", "case 4"],
)
def test_the_loudness_range_is_within_one_unit_of_tech_3342(tmp_path, levels, expected):
    figures = measured(tmp_path, tone([(20, level) for level in levels]), STEREO)
    assert figures["range_lu"] == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 96_000, 192_000])
def test_loudness_does_not_depend_on_the_sampling_rate(tmp_path, rate_hz):
    figures = measured(tmp_path, tone([(5, -23)], rate_hz=rate_hz), STEREO, rate_hz)
    assert figures["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_one_channel_counts_once_and_two_equal_ones_twice(tmp_path):
    mono = measured(tmp_path / "1", tone([(5, -23)], channels=1), ("FC",))["integrated_lufs"]
    assert mono == pytest.approx(-26.0, abs=0.1)


def test_k_weighting_equals_the_tables_of_the_recommendation_at_48_khz():
    shelf, high_pass = r128.k_weighting(48_000)
    tabled = (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
    assert shelf == pytest.approx(tabled, abs=1e-9)
    assert high_pass == pytest.approx((1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621), abs=1e-9)


def test_digital_silence_has_no_figures_and_says_why(tmp_path):
    """A page once showed "-inf LUFS": JSON has no such number."""
    figures = measured(tmp_path, np.zeros((2, 5 * RATE_HZ)), STEREO)
    names = contract_module.FIGURES
    assert {name: figures[name] for name in names} == dict.fromkeys(names)
    assert set(figures["reasons"]) == set(names)
    json.dumps(figures, allow_nan=False)


def test_a_track_shorter_than_a_block_has_a_peak_but_no_loudness(tmp_path):
    figures = measured(tmp_path, tone([(0.3, -6)]), STEREO)
    assert figures["integrated_lufs"] is None
    assert "400 ms" in figures["reasons"]["integrated_lufs"]
    assert figures["sample_peak_dbfs"] == pytest.approx(-6.0, abs=0.1)


@pytest.mark.parametrize("rate_hz", [1, 10, 99, 100, 101, 1000, 3364, 4000, 7999])
def test_loudness_is_not_made_up_where_k_weighting_is_not_defined(tmp_path, rate_hz):
    """At 1 Hz a hop of 10 ms holds no sample, at 1 kHz the filter has no stable form: energies were infinite."""
    path = write_sound(tmp_path / "a.wav", tone([(3, -6)], hz=rate_hz / 10, rate_hz=rate_hz), rate_hz=rate_hz)
    products = run_pass(path, tmp_path)
    task, result = make_report(loudness, products, tmp_path / "report")
    figures = result.facts["tracks"][0]
    for name in loudness.WEIGHTED:
        assert figures[name] is None
        assert f"sampled at {rate_hz} Hz" in figures["reasons"][name]
    if rate_hz > 1:  # of 3 samples at a tenth of the rate none is at the peak
        assert figures["sample_peak_dbfs"] == pytest.approx(-6.0, abs=0.5)
    json.dumps(json.loads((task.out / loudness.FILE).read_text()), allow_nan=False)
    verdicts = [*unit_verdicts(products), *index_verdicts(products), *contract_module.contract(task)]
    verdicts += waveform_contract.contract(make_report(waveform, products, tmp_path / "wave")[0])
    assert [verdict for verdict in verdicts if verdict.outcome is not Outcome.PASSED] == []


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 192_000])
@pytest.mark.parametrize("samples", [1, 10, 0.05])
def test_a_track_of_any_length_at_a_common_rate_keeps_its_contracts(tmp_path, rate_hz, samples):
    count = samples if samples >= 1 else round(samples * rate_hz)
    products = run_pass(write_sound(tmp_path / "a.wav", np.full((2, count), 0.5), rate_hz=rate_hz), tmp_path)
    task, _ = make_report(loudness, products, tmp_path / "report")
    verdicts = [*unit_verdicts(products), *index_verdicts(products), *contract_module.contract(task)]
    verdicts += waveform_contract.contract(make_report(waveform, products, tmp_path / "wave")[0])
    assert [verdict for verdict in verdicts if verdict.outcome is not Outcome.PASSED] == []


def test_a_report_that_claims_loudness_of_a_slow_track_breaks_its_contract(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone([(3, -6)], hz=100, rate_hz=1000), rate_hz=1000)
    products = run_pass(path, tmp_path, taps=[plan.LOUDNESS_BLOCKS_TAP])
    found = _broken(products, tmp_path / "report", lambda r: r["tracks"][0].update(momentary_max_lufs=-9.0))
    assert found == ["track 0 claims no loudness where none can be measured"]


def test_a_track_that_is_all_low_frequency_channel_is_silent_to_the_meter(tmp_path):
    """Cameras and editors write one track a channel: the track of the LFE had no energies, and failed."""
    energies, facts = energies_of(tmp_path, tone([(1, -6)], channels=1), ("LFE",))
    assert len(energies) == facts["hops"] == 100
    assert not energies.any()
    assert "silent" in loudness.measure(energies, facts)["reasons"]["integrated_lufs"]


def test_the_last_samples_count_for_the_peak(tmp_path):
    """A tail shorter than a hop is measured by no block, but a click in it is as loud as any other."""
    samples = np.zeros((1, RATE_HZ + 100))
    samples[0, -3] = 0.9
    figures = measured(tmp_path, samples, ("FC",))
    assert figures["sample_peak_dbfs"] == pytest.approx(20 * math.log10(0.9), abs=0.01)
    assert figures["true_peak_dbtp"] >= figures["sample_peak_dbfs"]


def test_the_curve_has_a_value_for_every_second_from_the_third_on(tmp_path):
    energies, _ = energies_of(tmp_path, tone([(4, -23), (4, SILENCE)]), STEREO)
    values = loudness.curve(energies)
    assert len(values) == 8
    assert values[:2] == [None, None]
    assert values[2:4] == [-23.0, -23.0]
    assert values[7] is None


@pytest.mark.parametrize(
    ("name", "expected"), [("loudness/1770-2_Comp_AbsGateTest.wav", -69.5), ("loudness/sine_1000.wav", -3.05)]
)
def test_the_corpus_reads_as_its_manifest_says(tmp_path, name, expected):
    _, result = make_report(loudness, run_pass(corpus_file(name), tmp_path), tmp_path / "report")
    assert result.facts["tracks"][0]["integrated_lufs"] == pytest.approx(expected, abs=0.1)


@pytest.mark.services
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command as an outside judge")
def test_ffmpeg_reads_the_same(tmp_path):
    samples = noise(12) * np.repeat(np.array([0.2, 1.0, 0.5, 0.1]), 3 * RATE_HZ)
    path = write_sound(tmp_path / "a.wav", samples)
    _, result = make_report(loudness, run_pass(path, tmp_path), tmp_path / "report")
    figures = result.facts["tracks"][0]
    said = ffmpeg("-i", str(path), "-af", "ebur128=peak=true", "-f", "null", "-").rpartition("Summary")[2]
    integrated, peak = (float(re.search(rf"{name}:\s+(-?[\d.]+)", said)[1]) for name in ("I", "Peak"))
    assert figures["integrated_lufs"] == pytest.approx(integrated, abs=0.1)
    assert figures["true_peak_dbtp"] == pytest.approx(peak, abs=0.2)


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loudness")
    path = write_sound(folder / "a.wav", tone([(4, -20), (4, -30)]))
    return run_pass(path, folder)


def test_an_honest_report_keeps_its_contract(products, tmp_path):
    task, _ = make_report(loudness, products, tmp_path)
    verdicts = contract_module.contract(task)
    assert [verdict for verdict in verdicts if verdict.outcome is not Outcome.PASSED] == []
    assert any("another meter agrees" in verdict.clause and "LUFS" in verdict.found for verdict in verdicts)


def _broken(products, tmp_path: Path, change) -> list[str]:
    task = report_task(products, tmp_path)
    result = loudness.make(task)
    path = task.out / loudness.FILE
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))
    verdicts = contract_module.contract(judged(task, result))
    return [verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED]


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda r: r["tracks"].clear(), "every track is measured"),
        (lambda r: r["tracks"][0].update(integrated_lufs=None), "says why a figure is missing"),
        (lambda r: r["tracks"][0].update(integrated_lufs=-24.5), "another meter agrees"),
        (lambda r: r["tracks"][0].update(integrated_lufs=-10.0), "is not above momentary_max_lufs"),
        (lambda r: r["tracks"][0].update(true_peak_dbtp=-40.0), "is not above true_peak_dbtp"),
        (lambda r: r["tracks"][0].update(range_lu=-1.0), "its figures are plausible"),
        (lambda r: r["tracks"][0]["curve"]["short_term_lufs"].pop(), "its curve covers the track"),
        (lambda r: r["tracks"][0]["curve"].update(short_term_lufs=[-5.0] * 8), "its curve stays below its maximum"),
        (lambda r: r["tracks"][0].pop("range_lu"), "can be judged"),
    ],
)
def test_a_wrong_report_breaks_its_contract(products, tmp_path, change, clause):
    assert any(clause in found for found in _broken(products, tmp_path, change))


def test_a_report_cut_in_half_breaks_its_contract(products, tmp_path):
    task = report_task(products, tmp_path)
    result = loudness.make(task)
    path = task.out / loudness.FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert contract_module.contract(judged(task, result))[0].outcome is Outcome.FAILED


def test_the_sound_of_another_source_is_noticed_by_the_second_meter(products, tmp_path):
    """Energies of one file beside the AAC of another: each is well-formed, together they contradict each other."""
    other = run_pass(write_sound(tmp_path / "b.wav", tone([(8, -40)])), tmp_path / "other")
    mixed = {**products.inputs, "aac/0": other.inputs["aac/0"]}
    task, _ = make_report(loudness, type(products)(products.info, mixed, products.results), tmp_path / "report")
    failed = [v.clause for v in contract_module.contract(task) if v.outcome is Outcome.FAILED]
    assert failed == ["track 0 another meter agrees"]


def test_the_index_knows_that_its_products_are_of_one_decode(products):
    changed = {**products.facts("aac/0"), "source": {**products.facts("aac/0")["source"], "samples": 1}}
    failed = [v.clause for v in index_verdicts(products, aac_0=changed) if v.outcome is Outcome.FAILED]
    assert "track 0 its products are of one decode" in failed
