"""The pass over sound: exact, in sync and repeatable products of any track, and a contract that notices damage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media_assets.sound import DECLARATIONS, SOUNDTRACK
from processing.contracts import loudness as loudness_contract
from processing.contracts import waveform as waveform_contract
from processing.failures import BadInput
from processing.manifest import Outcome
from processing.sound import loudness, plan, waveform
from processing.timeline import from_rational
from tests.corpus import corpus_file, rows
from tests.media_sound import (
    RATE_HZ,
    Made,
    Stretch,
    decoded,
    ffmpeg,
    index_verdicts,
    info_of,
    make_report,
    noise,
    run_pass,
    tone,
    unit_verdicts,
    write_sound,
)
from tests.media_spoiled import remux, spoiled_packets, spoken


def failures(verdicts) -> list[str]:
    return [f"{v.clause}: {v.found} / {v.expected}" for v in verdicts if v.outcome is Outcome.FAILED]


def contents(made: Made) -> dict[str, bytes]:
    return {
        f"{name}/{entry.path}": (item.folder / entry.path).read_bytes()
        for name, item in made.inputs.items()
        for entry in item.files
    }


def click_at(seconds: float, length_s: float, *, rate_hz: int = RATE_HZ, channels: int = 2) -> np.ndarray:
    samples = np.zeros((channels, round(length_s * rate_hz)))
    place = round(seconds * rate_hz)
    samples[:, place - 40 : place + 40] = 0.8 * np.hanning(80)
    return samples


def heard_at(samples: np.ndarray, rate_hz: int) -> float:
    """Where the energy of a click lies, in seconds."""
    power = np.square(samples[0])
    return float(np.sum(np.arange(power.size) * power) / np.sum(power)) / rate_hz


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_gives_exact_products_that_keep_the_contract(tmp_path, rate_hz):
    path = write_sound(tmp_path / "a.wav", tone([(1.2, -20)], rate_hz=rate_hz), rate_hz=rate_hz)
    made = run_pass(path, tmp_path)
    assert failures(unit_verdicts(made)) == []
    assert failures(index_verdicts(made)) == []
    assert made.facts("flac/0")["samples"] == 19_200
    assert made.facts("aac/0")["rate_hz"] == (44_100 if rate_hz % 11_025 == 0 else 48_000)
    assert decoded(made.folder("flac/0") / "audio.flac").shape == (1, 19_200)


@pytest.mark.parametrize(
    ("codec", "sample_format", "container", "layout", "expected"),
    [
        ("pcm_s24le", "s32", "wav", "stereo", "stereo"),
        ("pcm_s16le", "s16", "wav", "mono", "mono"),
        ("ac3", "fltp", "matroska", "5.1(side)", "5.1"),
        ("pcm_s16le", "s16", "wav", "7.1", "5.1"),
        ("pcm_s16le", "s16", "wav", "quad", "stereo"),
        ("flac", "s16", "matroska", "5.0", "5.1"),
    ],
)
def test_every_layout_becomes_one_that_players_know(tmp_path, codec, sample_format, container, layout, expected):
    channels = av.AudioLayout(layout).nb_channels
    path = write_sound(
        tmp_path / "a", noise(1.0, channels=channels), layout=layout, codec=codec, container=container,
        sample_format=sample_format,
    )  # fmt: skip
    made = run_pass(path, tmp_path / "made")
    assert made.facts("aac/0")["layout"] == expected
    assert failures(unit_verdicts(made)) == []
    assert failures(index_verdicts(made)) == []


def test_the_facts_state_the_coefficients_of_a_downmix(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise(0.5, channels=4), layout="quad")
    downmix = run_pass(path, tmp_path).facts("aac/0")["downmix"]
    assert downmix == [[0.585786, 0.0, 0.414214, 0.0], [0.0, 0.585786, 0.0, 0.414214]]


def test_six_channels_fold_into_one_by_the_coefficients_of_bs_775(tmp_path):
    """ITU-R BS.775-3 table 2, 1/0: left and right 0.7071, centre 1, surround 0.5, low frequencies left out.

    One channel after another carries the same tone, and its level is measured in what was made.
    """
    second = tone([(1.0, -12)], hz=440, channels=1)
    samples = np.zeros((6, 6 * RATE_HZ))
    for channel in range(6):
        samples[channel, channel * RATE_HZ : (channel + 1) * RATE_HZ] = second[0]
    made = run_pass(write_sound(tmp_path / "a.wav", samples, layout="5.1"), tmp_path)
    folded = decoded(made.folder("flac/0") / "audio.flac")[0]
    levels = [np.std(folded[16_000 * n + 4000 : 16_000 * n + 12_000]) for n in range(6)]
    assert np.array(levels) / levels[2] == pytest.approx([0.7071, 0.7071, 1, 0, 0.5, 0.5], abs=0.002)
    kept = decoded(made.folder("aac/0") / "audio.m4a")
    loudest = [int(np.argmax(np.std(kept[:, RATE_HZ * n + 12_000 : RATE_HZ * n + 36_000], axis=1))) for n in range(6)]
    assert loudest == [0, 1, 2, 3, 4, 5]
    assert made.facts("aac/0")["downmix"] is None


def test_sound_is_where_it_was_in_every_product(tmp_path):
    path = write_sound(tmp_path / "a.wav", click_at(1.25, 2.0))
    made = run_pass(path, tmp_path)
    flac, aac = made.folder("flac/0") / "audio.flac", made.folder("aac/0") / "audio.m4a"
    assert heard_at(decoded(flac), 16_000) == pytest.approx(1.25, abs=0.0002)
    assert heard_at(decoded(aac), RATE_HZ) == pytest.approx(1.25, abs=0.0005)


def test_a_late_start_is_silence_in_every_product(tmp_path):
    """The picture starts the timeline; sound that comes 0.7 s later must stay 0.7 s later in players and captions."""
    samples = click_at(0.5, 1.0)
    path = write_sound(tmp_path / "a.mkv", [Stretch(samples, Fraction(7, 10))], container="matroska", frame=480)
    info = info_of(path, tmp_path)
    info["origin"] = {"num": 0, "den": 1}
    info["audio"][0]["start"] = {"num": 7, "den": 10}
    made = run_pass(path, tmp_path, info=info)
    assert heard_at(decoded(made.folder("flac/0") / "audio.flac"), 16_000) == pytest.approx(1.2, abs=0.0002)
    assert heard_at(decoded(made.folder("aac/0") / "audio.m4a"), RATE_HZ) == pytest.approx(1.2, abs=0.0005)
    assert failures(index_verdicts(made)) == []


def test_the_first_aac_packet_is_priming_and_the_edit_list_takes_it_off(tmp_path):
    made = run_pass(write_sound(tmp_path / "a.wav", noise(1.001)), tmp_path)
    with av.open(str(made.folder("aac/0") / "audio.m4a")) as container:
        stream = container.streams.audio[0]
        packets = [(packet.pts, packet.duration) for packet in container.demux(stream) if packet.size]
        assert packets[0][0] == -1024
        assert stream.start_time == 0
        assert stream.duration == round(1.001 * RATE_HZ)
        assert packets[-1][0] + packets[-1][1] == stream.duration


@pytest.mark.services
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command as an outside judge")
def test_ffmpeg_hears_the_aac_in_the_same_place(tmp_path):
    made = run_pass(write_sound(tmp_path / "a.wav", click_at(1.25, 2.0)), tmp_path)
    ffmpeg("-i", str(made.folder("aac/0") / "audio.m4a"), "-c:a", "pcm_f32le", str(tmp_path / "b.wav"))
    assert heard_at(decoded(tmp_path / "b.wav"), RATE_HZ) == pytest.approx(1.25, abs=0.0005)


def test_channels_that_cancel_leave_recognisers_the_left_one(tmp_path):
    """A wrongly wired microphone: the mean of both channels is silence, and nothing could be transcribed."""
    left = tone([(2.0, -12)], hz=440, channels=1)
    made = run_pass(write_sound(tmp_path / "a.wav", np.concatenate([left, -left])), tmp_path)
    assert made.facts("flac/0")["mix"].startswith("left")
    assert np.abs(decoded(made.folder("flac/0") / "audio.flac")).max() == pytest.approx(0.25, abs=0.01)
    assert [entry.path for entry in made.inputs["flac/0"].files] == ["audio.flac"]
    assert failures(unit_verdicts(made)) == []


def test_silence_is_a_track_like_any_other(tmp_path):
    made = run_pass(write_sound(tmp_path / "a.wav", np.zeros((2, 2 * RATE_HZ))), tmp_path)
    assert failures(unit_verdicts(made)) == []
    assert made.facts("flac/0")["peak"] == 0


@pytest.mark.parametrize("count", [1, 2, 5, 1023, 1025])
def test_a_track_of_a_few_samples_is_a_track(tmp_path, count):
    made = run_pass(write_sound(tmp_path / "a.wav", np.full((2, count), 0.5)), tmp_path)
    assert made.facts("aac/0")["samples"] == count
    assert failures(unit_verdicts(made)) == []


def test_a_track_that_decodes_to_nothing_is_refused_and_leaves_no_file_open(tmp_path):
    path = write_sound(tmp_path / "a.flac", noise(1.0), codec="flac", container="flac", sample_format="s16")
    info = info_of(path, tmp_path)
    data = bytearray(path.read_bytes())
    data[8000:] = bytes(len(data) - 8000)
    data[86:8000] = bytes(8000 - 86)
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match=r"no sound that can be decoded|structure could not be read"):
        run_pass(path, tmp_path, info=info)


def test_a_damaged_track_states_its_gap_and_its_completeness(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise(4.0))
    info = info_of(path, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    made = run_pass(path, tmp_path, info=info)
    assert float(from_rational(made.results[0].completeness)) == pytest.approx(0.75, abs=0.01)
    (gap,) = made.results[0].gaps
    assert gap["track"] == 0
    assert Fraction(gap["end"], gap["timescale"]) == 4
    assert failures(index_verdicts(made)) == []


def test_the_same_bytes_come_out_twice_of_a_warm_process(tmp_path):
    """With other work in between, so that memory is dirty."""
    first = write_sound(tmp_path / "a.wav", noise(3.0), rate_hz=44_100)
    other = write_sound(tmp_path / "b.wav", noise(2.0, seed=5, channels=6), layout="5.1")
    once = contents(run_pass(first, tmp_path / "1"))
    run_pass(other, tmp_path / "2")
    again = contents(run_pass(first, tmp_path / "3"))
    assert once == again


def test_the_same_bytes_come_out_whichever_products_are_made_together(tmp_path):
    """A product that is added later decodes again and must not differ from one made with the others."""
    path = write_sound(tmp_path / "a.wav", noise(2.0))
    together = contents(run_pass(path, tmp_path / "all"))
    for tap in (plan.FLAC_TAP, plan.AAC_TAP, plan.LOUDNESS_BLOCKS_TAP, plan.PEAKS_TAP):
        alone = contents(run_pass(path, tmp_path / tap.name, taps=[tap]))
        assert alone.items() <= together.items()


def test_every_track_is_a_unit_of_its_own(tmp_path):
    info = {"audio": [{**_audio(), "stream_index": index} for index in (1, 2)], "origin": {"num": 0, "den": 1}}
    products = plan.FLAC_TAP.plan(info, {})
    assert [(product.name, product.unit) for product in products] == [("flac/0", "0"), ("flac/1", "1")]
    assert plan.unit_parameters(info, {}, "1")["audio"]["stream_index"] == 2


def _audio() -> dict:
    second = {"num": 1, "den": 1}
    shape = {"channels": 2, "layout": "stereo", "rate_hz": RATE_HZ}
    return {**shape, "start": {"num": 0, "den": 1}, "duration": second, "language": "de", "title": "Ton"}


def test_a_title_does_not_shape_the_samples():
    info = {"audio": [{**_audio(), "stream_index": 1}], "origin": {"num": 0, "den": 1}}
    assert {"language", "title"}.isdisjoint(plan.unit_parameters(info, {}, "0")["audio"])


def test_planning_needs_no_media_library():
    code = "import sys, processing.sound.plan; sys.exit('av' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_pass_makes_its_own_products_whoever_else_asks():
    assert {tap.name for tap in SOUNDTRACK.work.taps} == {"flac", "aac"}
    assert SOUNDTRACK.work.depends_on == ("media_info",)


def test_a_source_without_sound_is_told_so():
    assert {
        declaration.work.applies({"audio": []}, {})
        for declaration in DECLARATIONS
        if plan.PASS in declaration.work.depends_on
    } == {plan.NO_SOUND}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soundtrack")
    return folder, run_pass(write_sound(folder / "a.wav", noise(2.0)), folder)


@pytest.fixture
def copy(intact, tmp_path):
    """The intact products in a folder of their own, to be damaged."""
    folder, made = intact
    shutil.copytree(folder, tmp_path / "copy")
    moved = {
        name: type(item)(name, tmp_path / "copy" / item.folder.relative_to(folder), item.files, item.facts, "")
        for name, item in made.inputs.items()
    }
    return Made(made.info, moved, made.results)


FILES = {"flac/0": "audio.flac", "aac/0": "audio.m4a", "loudness_blocks/0": "energies.f32", "peaks/0": "peaks.dat"}


def test_intact_products_keep_the_contract(copy):
    assert failures(unit_verdicts(copy)) == []


@pytest.mark.parametrize(("name", "file"), FILES.items())
def test_a_product_cut_short_breaks_the_contract(copy, name, file):
    path = copy.folder(name) / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert failures(unit_verdicts(copy))


@pytest.mark.parametrize(("name", "file"), FILES.items())
def test_an_empty_product_breaks_the_contract(copy, name, file):
    (copy.folder(name) / file).write_bytes(b"")
    assert failures(unit_verdicts(copy))


@pytest.mark.parametrize("name", ["flac/0", "aac/0", "peaks/0"])
def test_a_product_swapped_for_silence_breaks_the_contract(copy, tmp_path, name):
    silent = run_pass(write_sound(tmp_path / "s.wav", np.zeros((2, 2 * RATE_HZ))), tmp_path / "silent", taps=_tap(name))
    shutil.copy(silent.folder(name) / FILES[name], copy.folder(name) / FILES[name])
    assert failures(unit_verdicts(copy))


@pytest.mark.parametrize("name", ["flac/0", "peaks/0"])
def test_a_product_swapped_for_that_of_another_source_breaks_the_contract(copy, tmp_path, name):
    other = run_pass(write_sound(tmp_path / "o.wav", noise(2.0, seed=9)), tmp_path / "other", taps=_tap(name))
    shutil.copy(other.folder(name) / FILES[name], copy.folder(name) / FILES[name])
    assert failures(unit_verdicts(copy))


@pytest.mark.parametrize("name", FILES)
def test_a_product_swapped_for_a_longer_one_breaks_the_contract(copy, tmp_path, name):
    other = run_pass(write_sound(tmp_path / "o.wav", noise(2.1)), tmp_path / "other", taps=_tap(name))
    shutil.copy(other.folder(name) / FILES[name], copy.folder(name) / FILES[name])
    assert failures(unit_verdicts(copy))


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    """Products of sound whose channels differ and change all the time, and the folder to spoil them in."""
    folder = tmp_path_factory.mktemp("speaking")
    made = run_pass(write_sound(folder / "a.wav", spoken(12.0)), folder)
    assert failures(unit_verdicts(made)) == []
    return made


def spoiled_verdicts(made: Made, folder: Path, **how) -> list[str]:
    """The clauses that fail when the AAC is written again as `remux` is told."""
    shutil.copytree(made.folder("aac/0"), folder)
    remux(made.folder("aac/0") / "audio.m4a", folder / "audio.m4a", **how)
    item = made.inputs["aac/0"]
    moved = {**made.inputs, "aac/0": type(item)("aac/0", folder, item.files, item.facts, "")}
    found = failures(unit_verdicts(Made(made.info, moved, made.results)))
    return [clause.removeprefix("aac/0 ").partition(":")[0] for clause in found]


LOUD = "is as loud as it was given, at every moment"
SAME = "sounds as it was given"
PLACE = "has every channel in its place"


@pytest.mark.parametrize(
    ("how", "clauses"),
    [
        ("silent", {LOUD, SAME, "is silent only where the source is"}),
        ("second half silent", {LOUD, SAME}),
        ("noise in its place", {LOUD, SAME}),
        ("channels swapped", {LOUD, SAME, PLACE}),
        ("200 ms late", {LOUD, SAME}),
    ],
)
def test_aac_of_other_sound_breaks_the_contract(speaking, tmp_path, how, clauses):
    """All of these were published once: they decode, and have the right length, rate and channels."""
    sound = spoiled_packets(speaking.folder("aac/0") / "audio.m4a", how)
    assert set(spoiled_verdicts(speaking, tmp_path / "x", sound=sound)) == clauses


def test_aac_with_packets_200_ms_late_breaks_the_contract(speaking, tmp_path):
    assert "starts with the encoder's priming" in spoiled_verdicts(speaking, tmp_path / "x", later_s={"audio": 0.2})


def test_flac_that_is_200_ms_late_breaks_the_contract(speaking, tmp_path):
    """Lossless sound moved in time has the same peak, energy and length."""
    path = speaking.folder("flac/0") / "audio.flac"
    late = np.roll(decoded(path), 3_200, axis=1)
    (tmp_path / "x").mkdir()
    write_sound(
        tmp_path / "x" / "audio.flac", late, rate_hz=16_000, layout="mono", codec="flac", container="flac",
        sample_format="s16",
    )  # fmt: skip
    item = speaking.inputs["flac/0"]
    moved = {"flac/0": type(item)("flac/0", tmp_path / "x", item.files, item.facts, "")}
    found = failures(unit_verdicts(Made(speaking.info, moved, ())))
    assert [clause.partition(":")[0] for clause in found] == ["flac/0 holds the samples that were written"]


def test_energies_that_are_no_numbers_break_the_contract(copy):
    path = copy.folder("loudness_blocks/0") / "energies.f32"
    values = np.fromfile(path, "<f4")
    values[7] = np.nan
    path.write_bytes(values.tobytes())
    assert failures(unit_verdicts(copy))


def test_a_track_that_is_missing_breaks_the_index(intact):
    _, made = intact
    info = {**made.info, "audio": made.info["audio"] * 2}
    assert any("every declared track" in found for found in failures(index_verdicts(Made(info, made.inputs, ()))))


def _tap(name: str) -> list:
    taps = (plan.FLAC_TAP, plan.AAC_TAP, plan.LOUDNESS_BLOCKS_TAP, plan.PEAKS_TAP)
    return [tap for tap in taps if tap.name == name.partition("/")[0]]


SOUNDING = [row for row in rows() if row["audio_channels"] and row["kind"] != "image"]


@pytest.mark.corpus
@pytest.mark.parametrize("row", SOUNDING, ids=[row["path"] for row in SOUNDING])
def test_every_corpus_file_with_sound_goes_through_or_is_refused_by_name(tmp_path, row):
    path = corpus_file(row["path"])
    if row["expected"] == "reject":
        with pytest.raises(BadInput):
            run_pass(Path(path), tmp_path / "pass")
        return
    made = run_pass(Path(path), tmp_path / "pass")
    assert made.info["audio"]
    problems = [found for track in range(len(made.info["audio"])) for found in failures(unit_verdicts(made, track))]
    problems += failures(index_verdicts(made))
    for module, contract in ((loudness, loudness_contract), (waveform, waveform_contract)):
        task, _ = make_report(module, made, tmp_path / module.__name__)
        problems += failures(contract.contract(task))
    assert problems == []
