"""Waveforms: the numbers audiowaveform gives, JSON that stays small, pictures that can be seen."""

from __future__ import annotations

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from processing.contracts import waveform as contract_module
from processing.manifest import Outcome
from processing.sound import waveform, waveform_picture
from processing.sound.peaks import PeaksTap, read_peaks
from processing.sound.taps import SoundUnit
from tests.corpus import corpus_file
from tests.media_sound import RATE_HZ, Made, judged, make_report, noise, report_task, run_pass, tone, write_sound


def by_the_book(channels: np.ndarray, samples_per_pixel: int) -> list[int]:
    """audiowaveform's way, sample by sample: 16-bit channels summed and divided towards zero, then min and max."""
    data = []
    merged = [int(total / len(channels)) for total in channels.astype(int).sum(axis=0)]
    for start in range(0, len(merged), samples_per_pixel):
        pixel = merged[start : start + samples_per_pixel]
        data += [min(pixel), max(pixel)]
    return data


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "5.1")])
def test_the_json_holds_the_numbers_audiowaveform_gives(tmp_path, channels, layout):
    samples = np.clip(noise(1.7, level=0.4, channels=channels), -1, 32767 / 32768)
    quantized = np.rint(samples * 32768).astype(np.int16)
    path = write_sound(tmp_path / "a.wav", samples, layout=layout)
    task, result = make_report(waveform, run_pass(path, tmp_path), tmp_path / "report")
    document = json.loads((task.out / "waveform.json").read_text())
    assert document["data"] == by_the_book(quantized, 256)
    assert {name: document[name] for name in document if name != "data"} == {
        "version": 2,
        "channels": 1,
        "sample_rate": RATE_HZ,
        "samples_per_pixel": 256,
        "bits": 16,
        "length": -(-samples.shape[1] // 256),
    }
    assert result.facts["tracks"][0]["length"] == document["length"]


@pytest.mark.services
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command as an outside judge")
@pytest.mark.parametrize(
    "name", ["audio/sine_24le.wav", "audio/alac.m4a", "audio/sample_rf64.wav", "loudness/sine_1000.wav"]
)
def test_the_json_holds_what_the_ffmpeg_command_decodes(tmp_path, name):
    """The program audiowaveform is not in Debian: another decode, and numpy by its documentation, stand for it."""
    path = corpus_file(name)
    made = run_pass(path, tmp_path)
    task, _ = make_report(waveform, made, tmp_path / "report")
    document = json.loads((task.out / "waveform.json").read_text())
    channels = made.info["audio"][0]["channels"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-f", "f64le", "-"]
    heard = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    samples = np.frombuffer(heard, "<f8").reshape(-1, channels)
    merged = np.clip(np.trunc(samples.sum(axis=1) * 32768 / channels), -32768, 32767).astype(int)
    step = document["samples_per_pixel"]
    padded = np.pad(merged, (0, -len(merged) % step), mode="edge").reshape(-1, step)
    expected = np.stack([padded.min(axis=1), padded.max(axis=1)], axis=1)
    found = np.array(document["data"]).reshape(-1, 2)
    assert (document["sample_rate"], document["length"]) == (made.info["audio"][0]["rate_hz"], len(expected))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1  # of 32,768: a sum of doubles on the border of two codes
    assert (found == expected).mean() > 0.999


def test_blocks_of_any_length_give_the_same_points(tmp_path):
    samples = noise(0.5)
    found = []
    for number, size in enumerate((1, 100, 255, 256, 257, 24_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        tap = PeaksTap(SoundUnit(0, RATE_HZ, ("FL", "FR")), {"samples_per_pixel": 256}, folder)
        step = size * 20 if size == 1 else size
        for start in range(0, samples.shape[1], step):
            tap.samples(samples[:, start : start + step])
        tap.close()
        found.append((folder / "peaks.dat").read_bytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("points", [1, 16_384, 16_385, 675_000, 16_200_000])
def test_a_long_track_is_zoomed_out_until_its_json_is_small(points):
    factor = waveform.zoom(points)
    assert -(-points // factor) <= waveform.MAX_POINTS
    assert factor == 1 or -(-points // (factor // 2)) > waveform.MAX_POINTS


def test_zooming_out_keeps_every_peak_and_the_incomplete_last_point():
    points = np.random.default_rng(1).integers(-1000, 1000, (1001, 2)).astype(np.int16)
    merged = waveform.merge(points, 8)
    assert len(merged) == 126
    assert merged[:, 0].min() == points[:, 0].min()
    assert merged[:, 1].max() == points[:, 1].max()
    assert merged[125].tolist() == points[1000].tolist()


def test_a_full_scale_sample_does_not_wrap(tmp_path):
    samples = np.array([[1.5, -1.5] * 128])
    tap = PeaksTap(SoundUnit(0, RATE_HZ, ("FC",)), {"samples_per_pixel": 256}, tmp_path)
    tap.samples(samples)
    tap.close()
    assert read_peaks(tmp_path / "peaks.dat")[2].tolist() == [[-32768, 32767]]


def drawn(png: bytes) -> np.ndarray:
    """Where the wave's colour is, shape (height, width)."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)
    return np.all(np.abs(pixels - waveform_picture.WAVE) <= 8, axis=2)


def test_a_picture_is_as_high_as_the_sound_is_loud():
    loud = np.array([[-32768, 32767]] * 500 + [[-3277, 3277]] * 500, dtype=np.int16)
    mask = drawn(waveform_picture.large(loud, 10.0))
    heights = mask.sum(axis=0)
    full = waveform_picture.LARGE_SIZE[1] - waveform_picture.AXIS_HEIGHT
    assert heights[100] == full
    assert heights[1700] == pytest.approx(full / 10, abs=2)


def test_silence_is_a_line_and_the_ground_is_transparent():
    png = waveform_picture.small(np.zeros((100, 2), dtype=np.int16))
    assert drawn(png).any(axis=0).all()
    assert np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[0, 0, 3] == 0


def test_the_small_picture_fits_into_a_page_whatever_the_sound():
    wild = np.sort(np.random.default_rng(2).integers(-32768, 32767, (20_000, 2)), axis=1).astype(np.int16)
    assert len(waveform_picture.small(wild)) <= waveform_picture.SMALL_BYTES


def _contrast(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(color: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", [(255, 255, 255), (27, 27, 27)])
def test_the_colours_are_readable_on_light_and_on_dark_pages(ground):
    assert _contrast(waveform_picture.WAVE, ground) >= 3.0
    assert _contrast(waveform_picture.AXIS, ground) >= 3.0


def test_times_read_as_people_write_them():
    assert [waveform_picture.clock(second) for second in (5, 720, 3723)] == ["0:05", "12:00", "1:02:03"]


def test_one_sample_can_be_drawn(tmp_path):
    made = run_pass(write_sound(tmp_path / "a.wav", np.full((2, 1), 0.5)), tmp_path)
    task, _ = make_report(waveform, made, tmp_path / "report")
    assert [v for v in contract_module.contract(task) if v.outcome is Outcome.FAILED] == []


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waveform")
    samples = tone([(1, -6), (1, -60), (2, -12)], hz=440)
    return run_pass(write_sound(folder / "a.wav", samples), folder)


def test_an_honest_waveform_keeps_its_contract(products, tmp_path):
    task, _ = make_report(waveform, products, tmp_path)
    assert [v for v in contract_module.contract(task) if v.outcome is not Outcome.PASSED] == []


def test_the_same_files_come_out_twice(products, tmp_path):
    first, _ = make_report(waveform, products, tmp_path / "1")
    second, _ = make_report(waveform, products, tmp_path / "2")
    assert [entry.sha256 for entry in first.made.files] == [entry.sha256 for entry in second.made.files]


def _failed(products: Made, folder, change) -> list[str]:
    task = report_task(products, folder)
    result = waveform.make(task)
    change(task.out)
    return [v.clause for v in contract_module.contract(judged(task, result)) if v.outcome is Outcome.FAILED]


def _edit(change):
    def edit(folder):
        path = folder / "waveform.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def _blank(name, size):
    def blank(folder):
        Image.new("RGBA", size, (0, 0, 0, 0)).save(folder / name)

    return blank


def _cut(name):
    def cut(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (_edit(lambda d: d.update(version=1)), "is audiowaveform's format, version 2"),
        (_edit(lambda d: d["data"].pop()), "has a pair for every point"),
        (_edit(lambda d: d.update(length=d["length"] // 2, data=d["data"][: d["length"]])), "covers the track"),
        (_edit(lambda d: d.update(data=[0] * len(d["data"]))), "shows the sound that is heard"),
        (_edit(lambda d: d.update(data=d["data"][::-1])), "its minima and maxima are in order"),
        (_edit(lambda d: d.update(data=d["data"][600:] + d["data"][:600])), "shows the sound that is heard"),
        (_cut("waveform.json"), "can be read"),
        (_cut("waveform.png"), "can be read"),
        (_blank("waveform.png", waveform_picture.LARGE_SIZE), "waveform.png is not blank"),
        (_blank("waveform-small.png", waveform_picture.SMALL_SIZE), "waveform-small.png is not blank"),
        (_blank("waveform-small.png", (10, 10)), "waveform-small.png decodes at its size"),
    ],
)
def test_a_wrong_waveform_breaks_its_contract(products, tmp_path, change, clause):
    assert f"track 0 {clause}" in _failed(products, tmp_path, change)


def test_the_waveform_of_another_source_breaks_the_contract(products, tmp_path):
    quiet = run_pass(write_sound(tmp_path / "b.wav", tone([(4, -60)])), tmp_path / "other")
    task = report_task(Made(products.info, {**products.inputs, "peaks/0": quiet.inputs["peaks/0"]}, ()), tmp_path / "r")
    result = waveform.make(task)
    failed = [v.clause for v in contract_module.contract(judged(task, result)) if v.outcome is Outcome.FAILED]
    assert "track 0 shows the sound that is heard" in failed
