"""Placing: every sample of a track at its place on the output timeline, whatever the file does."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from processing.failures import BadInput
from processing.probe import adts as adts_clock
from processing.sound import plan
from processing.sound.decode import TrackDecoder
from tests.media_sound import RATE_HZ, Stretch, info_of, noise, run_pass, tone, write_sound

ZERO = Fraction(0)


def audio_of(path: Path, *, channels: int = 2, layout: str = "stereo", rate_hz: int = RATE_HZ, index: int = 0) -> dict:
    return {"stream_index": index, "channels": channels, "layout": layout, "rate_hz": rate_hz}


def decode(path: Path, *, origin=ZERO, start=ZERO, end=Fraction(1000), **audio) -> tuple[np.ndarray, TrackDecoder]:
    decoder = TrackDecoder(path, audio_of(path, **audio), origin, start, end)
    return np.concatenate(list(decoder.blocks()), axis=1), decoder


def matroska(path: Path, stretches, **options) -> Path:
    """PCM in packets of 10 ms: every timestamp is exact although Matroska's clock has 1 ms."""
    return write_sound(path, stretches, container="matroska", frame=480, **options)


def close(found, expected) -> bool:
    return bool(np.max(np.abs(found - expected), initial=0.0) <= 1 / 32768)


@pytest.mark.parametrize(
    ("codec", "sample_format", "error"),
    [
        ("pcm_u8", "u8", 1 / 128),
        ("pcm_s16le", "s16", 1 / 2**15),
        ("pcm_s24le", "s32", 1 / 2**23),
        ("pcm_s32le", "s32", 1 / 2**31),
        ("pcm_f32le", "flt", 1e-7),
        ("pcm_f64le", "dbl", 0.0),
    ],
)
def test_every_sample_format_becomes_doubles_of_the_same_level(tmp_path, codec, sample_format, error):
    samples = noise(0.5)
    path = write_sound(tmp_path / "a.wav", samples, codec=codec, sample_format=sample_format)
    found, _ = decode(path, end=Fraction(1, 2))
    assert found.shape == samples.shape
    assert np.max(np.abs(found - samples)) <= error


def test_a_late_start_is_silence_of_exactly_that_length(tmp_path):
    samples = noise(0.5)
    path = matroska(tmp_path / "a.mkv", [Stretch(samples, Fraction(130, 100))])
    found, decoder = decode(path, start=Fraction(130, 100), end=Fraction(180, 100))
    assert found.shape[1] == round(1.3 * RATE_HZ) + samples.shape[1]
    assert not found[:, : round(1.3 * RATE_HZ)].any()
    assert close(found[:, round(1.3 * RATE_HZ) :], samples)
    assert decoder.damage.gaps == decoder.damage.holes == []


def test_a_gap_is_silence_of_exactly_that_length_and_is_noted_as_a_hole(tmp_path):
    first, second = noise(0.5, seed=1), noise(0.5, seed=2)
    path = matroska(tmp_path / "a.mkv", [Stretch(first), Stretch(second, Fraction(2))])
    found, decoder = decode(path, end=Fraction(5, 2))
    assert close(found[:, : first.shape[1]], first)
    assert not found[:, first.shape[1] : 2 * RATE_HZ].any()
    assert close(found[:, 2 * RATE_HZ :], second)
    assert decoder.damage.holes == [(RATE_HZ // 2, 2 * RATE_HZ)]
    assert decoder.damage.gaps == []


def test_an_overlap_is_cut_so_that_what_follows_keeps_its_place(tmp_path):
    first, second = noise(1.0, seed=1), noise(1.0, seed=2)
    stretches = [Stretch(first), Stretch(second, Fraction(3, 4))]
    path = write_sound(tmp_path / "a.mkv", stretches, container="matroska", frame=RATE_HZ // 2)
    found, decoder = decode(path)
    assert found.shape[1] == RATE_HZ * 7 // 4
    assert close(found[:, :RATE_HZ], first)
    assert close(found[:, RATE_HZ:], second[:, RATE_HZ // 4 :])
    assert decoder.damage.samples_overlapping == RATE_HZ // 4


def test_what_lies_before_output_time_zero_is_cut(tmp_path):
    samples = noise(1.0)
    path = matroska(tmp_path / "a.mkv", samples)
    found, _ = decode(path, origin=Fraction(1, 4))
    assert close(found, samples[:, RATE_HZ // 4 :])


def test_timestamps_that_only_jitter_put_no_clicks_into_the_sound(tmp_path):
    """A browser's recorder stamps packets when they arrive: silence and cuts at each would be heard."""
    samples = noise(1.0)
    jitter = [0, 3, -4, 2, 5, -5, 1, 0, -2, 4]  # ms
    stretches = [
        Stretch(samples[:, number * 4800 : (number + 1) * 4800], Fraction(100 * number + off, 1000))
        for number, off in enumerate(jitter)
    ]
    found, decoder = decode(matroska(tmp_path / "a.mkv", stretches))
    assert close(found, samples)
    assert decoder.damage.holes == []


def test_a_drifting_clock_never_carries_sound_further_than_the_tolerance(tmp_path):
    samples = np.zeros((2, 20 * RATE_HZ))
    samples[:, ::RATE_HZ] = 0.9  # a click every second of the recorder's clock
    stretches = [
        Stretch(samples[:, number * 4800 : (number + 1) * 4800], Fraction(101 * number, 1000)) for number in range(200)
    ]
    found, _ = decode(matroska(tmp_path / "a.mkv", stretches))
    clicks = np.flatnonzero(found[0] > 0.5) / RATE_HZ
    assert len(clicks) == 20
    assert np.abs(clicks - 1.01 * np.arange(20)).max() <= 0.0101


def test_a_timestamp_far_past_the_end_is_not_believed(tmp_path):
    """One bad field would otherwise fill hours with silence."""
    path = matroska(tmp_path / "a.mkv", [Stretch(noise(0.5)), Stretch(noise(0.5, seed=2), Fraction(4000))])
    found, decoder = decode(path, end=Fraction(2))
    assert found.shape[1] == RATE_HZ
    assert decoder.damage.timestamps_ignored > 0


def test_damaged_packets_are_skipped_counted_and_leave_a_gap_of_their_length(tmp_path):
    samples = noise(2.0)
    clean = write_sound(tmp_path / "a.mkv", samples, codec="flac", container="matroska", sample_format="s16")
    data = bytearray(clean.read_bytes())
    place = len(data) // 2
    data[place : place + 3000] = bytes(3000)
    broken = tmp_path / "b.mkv"
    broken.write_bytes(bytes(data))
    found, decoder = decode(broken, end=Fraction(2))
    assert decoder.damage.packets_undecodable + decoder.damage.packets_corrupt >= 1
    assert len(decoder.damage.gaps) == 1
    start, end = decoder.damage.gaps[0]
    assert not found[:, start:end].any()
    assert close(found[:, :start], samples[:, :start])
    assert close(found[:, end:], samples[:, end:])
    assert found.shape == samples.shape


def test_a_file_cut_short_notes_what_is_missing_at_its_end(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise(4.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, decoder = decode(path, end=Fraction(4))
    assert found.shape[1] == pytest.approx(2 * RATE_HZ, abs=100)
    assert decoder.damage.gaps == [(found.shape[1], 4 * RATE_HZ)]


def test_samples_that_are_no_numbers_become_silence(tmp_path):
    samples = noise(0.5)
    samples[0, 1000], samples[1, 2000], samples[0, 3000] = np.nan, np.inf, 1e30
    path = write_sound(tmp_path / "a.wav", samples, codec="pcm_f32le", sample_format="flt")
    found, decoder = decode(path, end=Fraction(1, 2))
    assert decoder.damage.samples_not_finite == 3
    assert found[0, 1000] == found[1, 2000] == found[0, 3000] == 0.0
    assert np.isfinite(found).all()


def test_a_change_of_rate_and_layout_in_mid_stream_keeps_time_and_level(tmp_path):
    """Broadcast streams change from stereo to 5.1 and back at every advertisement."""
    first = write_sound(tmp_path / "1.aac", tone([(2, -20)]), codec="aac", container="adts")
    second = write_sound(
        tmp_path / "2.aac", tone([(2, -20)], rate_hz=44_100, channels=1), codec="aac", container="adts",
        rate_hz=44_100, layout="mono",
    )  # fmt: skip
    path = tmp_path / "both.aac"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    found, decoder = decode(path)
    assert decoder.rate_hz == RATE_HZ
    assert decoder.channels == ("FL", "FR")
    assert found.shape[1] / RATE_HZ == pytest.approx(4.0, abs=0.1)
    power = [float(np.mean(np.square(found[:, at : at + RATE_HZ]))) for at in (RATE_HZ // 2, RATE_HZ * 5 // 2)]
    assert power[0] == pytest.approx(0.5 * 0.1**2, rel=0.05)
    assert power[1] == pytest.approx(0.5 * power[0], rel=0.05)  # one channel's power, spread over two


def adts(path: Path, rate_hz: int, channels: int, seconds: float = 2.0) -> tuple[Path, Fraction]:
    """A raw AAC file of a tone at -20 dBFS, and how long its packets last."""
    layout = {1: "mono", 2: "stereo"}[channels]
    samples = tone([(seconds, -20)], rate_hz=rate_hz, channels=channels)
    write_sound(path, samples, codec="aac", container="adts", rate_hz=rate_hz, layout=layout)
    with av.open(str(path)) as container:
        packets = sum(1 for packet in container.demux(audio=0) if packet.size)
    return path, Fraction(1024 * packets, rate_hz)


@pytest.mark.parametrize("order", [((48_000, 2), (22_050, 1)), ((22_050, 1), (48_000, 2)), ((44_100, 2), (8_000, 2))])
def test_raw_aac_that_changes_its_rate_is_whole(tmp_path, order):
    """Its packets are counted at the first rate by libavformat: of 4.1 s, 2.99 came out and were called complete."""
    pieces = [adts(tmp_path / f"{number}.aac", *shape) for number, shape in enumerate(order)]
    path = tmp_path / "both.aac"
    path.write_bytes(b"".join(piece.read_bytes() for piece, _ in pieces))
    info = info_of(path, tmp_path)
    length_s = sum(lasts for _, lasts in pieces)
    assert Fraction(info["audio"][0]["duration"]["num"], info["audio"][0]["duration"]["den"]) == length_s
    made = run_pass(path, tmp_path, info=info, taps=[plan.FLAC_TAP])
    assert made.facts("flac/0")["samples"] == pytest.approx(16_000 * length_s, abs=1)
    assert made.results[0].gaps == ()
    found, decoder = decode(path, end=length_s)
    assert decoder.damage.samples_overlapping == 0
    late = found[0, round((pieces[0][1] + 1) * decoder.rate_hz) :][: decoder.rate_hz // 2]
    assert float(np.sqrt(2 * np.mean(np.square(late)))) == pytest.approx(0.1, rel=0.5)  # the second piece is heard


def test_the_clock_of_raw_aac_of_one_rate_is_left_as_it_is(tmp_path):
    path, _ = adts(tmp_path / "a.aac", 44_100, 2)
    with av.open(str(path)) as container:
        counted = [(packet.pts, packet.duration) for packet in container.demux(audio=0) if packet.size]
    with av.open(str(path)) as container:
        timed = [(p.pts, p.duration) for p in adts_clock.timed(container.demux(audio=0), "aac") if p.size]
    assert timed == counted


def test_what_is_no_adts_header_has_no_length():
    header = bytes.fromhex("fff15080019ffc")
    assert adts_clock.length_s(header) == Fraction(1024, 44_100)
    assert adts_clock.length_s(header[:6] + b"\x03") == Fraction(4096, 44_100)
    for wrong in (header[:6], b"\x00" + header[1:], b"\xff\xfb" + header[2:], header[:2] + b"\x7c" + header[3:]):
        assert adts_clock.length_s(wrong) is None


def test_a_later_frame_with_fewer_channels_does_not_shrink_the_track(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone([(0.5, -20)], channels=1), layout="mono")
    found, decoder = decode(path, channels=6, layout="5.1", end=Fraction(1, 2))
    assert len(decoder.channels) == len(found) == 6


def test_the_codecs_padding_past_the_declared_end_is_cut(tmp_path):
    samples = tone([(1.0, -20)])
    path = write_sound(tmp_path / "a.m4a", samples, codec="aac", container="mp4")
    found, decoder = decode(path, end=Fraction(1))
    assert found.shape[1] == RATE_HZ
    assert decoder.damage.samples_padding > 0


def test_sound_that_goes_on_past_a_wrong_declaration_is_kept(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise(3.0))
    found, _ = decode(path, end=Fraction(1))
    assert found.shape[1] == 3 * RATE_HZ


def test_one_sample_is_a_track(tmp_path):
    path = write_sound(tmp_path / "a.wav", np.full((2, 1), 0.5))
    found, _ = decode(path, end=Fraction(1, RATE_HZ))
    assert found.tolist() == [[0.5], [0.5]]


def test_a_track_without_a_sample_is_refused_by_name(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=RATE_HZ, layout="stereo")
        stream.codec_context.open()
        output.start_encoding()
    with pytest.raises(BadInput, match="holds no sound"):
        decode(path)


def test_memory_does_not_grow_with_the_length_of_a_gap(tmp_path):
    path = matroska(tmp_path / "a.mkv", [Stretch(noise(0.1)), Stretch(noise(0.1), Fraction(7200))])
    code = (
        "import resource, sys\n"
        "from fractions import Fraction\n"
        "from pathlib import Path\n"
        "from processing.sound.decode import TrackDecoder\n"
        "audio = {'stream_index': 0, 'channels': 2, 'layout': 'stereo', 'rate_hz': 48000}\n"
        "decoder = TrackDecoder(Path(sys.argv[1]), audio, Fraction(0), Fraction(0), Fraction(7201))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert sum(block.shape[1] for block in decoder.blocks()) == 7200 * 48_000 + 4800\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60


def test_the_facts_of_media_info_are_what_the_decoder_needs(tmp_path):
    path = matroska(tmp_path / "a.mkv", noise(1.0))
    audio = info_of(path, tmp_path)["audio"][0]
    assert {"stream_index", "channels", "layout", "rate_hz", "start", "duration"} <= set(audio)
