"""Boxes and fragments: what is written is read back, and what is broken is refused."""

from __future__ import annotations

import struct

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.picture import fmp4
from tests.media_packaging import RUNGS, TIMESCALE, Sound, encode_chunk, encode_sound

SAMPLES = st.lists(
    st.builds(
        fmp4.Sample,
        size=st.integers(1, 400),
        duration=st.integers(1, 2**32 - 1),
        composition_offset=st.integers(0, 2**31),
        is_sync=st.just(False),
    ),
    min_size=1,
    max_size=40,
)


@pytest.fixture(scope="module")
def chunk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunk")
    encode_chunk(folder, range(0, 90_000, 3000), 0, RUNGS[120], end=90_000, key_every=TIMESCALE)
    return folder / "chunk.mp4"


@pytest.fixture(scope="module")
def init(chunk):
    with av.open(str(chunk)) as container:
        return fmp4.init_segment(container.streams.video[0], TIMESCALE, 6000)


@given(samples=SAMPLES, at=st.integers(0, 2**63), sequence=st.integers(1, 2**32 - 1))
def test_a_fragment_is_read_as_it_was_written(samples, at, sequence):
    samples = [fmp4.Sample(samples[0].size, samples[0].duration, 0, is_sync=True), *samples[1:]]
    payload = b"x" * sum(sample.size for sample in samples)
    data = fmp4.SEGMENT_TYPE + fmp4.fragment_header(sequence, at, samples) + payload
    (found,) = fmp4.read_fragments(data)
    assert (found.sequence, found.decode_time, found.samples) == (sequence, at, tuple(samples))
    assert found.duration == sum(sample.duration for sample in samples)
    assert data[found.data_offset :] == payload


def test_sound_is_all_sync_samples():
    samples = [fmp4.Sample(7, 1024, 0, is_sync=True)] * 3
    data = fmp4.SEGMENT_TYPE + fmp4.fragment_header(1, 0, samples) + b"x" * 21
    assert all(sample.is_sync for sample in fmp4.read_fragments(data)[0].samples)


@pytest.mark.parametrize("cut", [1, 9, 30, 60, 100])
def test_a_truncated_segment_is_refused(cut):
    data = fmp4.SEGMENT_TYPE + fmp4.fragment_header(1, 0, [fmp4.Sample(50, 3000, 0, is_sync=True)]) + b"x" * 50
    with pytest.raises(fmp4.BrokenBox):
        fmp4.read_fragments(data[:-cut])


def test_a_segment_needs_its_type_box():
    data = fmp4.fragment_header(1, 0, [fmp4.Sample(5, 3000, 0, is_sync=True)]) + b"x" * 5
    with pytest.raises(fmp4.BrokenBox, match="styp"):
        fmp4.read_fragments(data)


def test_a_box_that_claims_more_than_there_is_is_refused():
    with pytest.raises(fmp4.BrokenBox, match="does not fit"):
        list(fmp4.boxes(struct.pack(">I4s", 99, b"free") + b"xx"))


def test_the_init_segment_says_size_codec_clock_and_edit(init):
    track = fmp4.read_track(init)
    assert (track.timescale, track.media_time, track.width, track.height) == (TIMESCALE, 6000, 160, 120)
    assert track.codecs.startswith("avc1.4d40")
    assert fmp4.find(init, "moov/mvex/trex") is not None


def test_the_codec_string_is_that_of_the_sequence_parameter_set(init):
    at = init.index(b"avcC") + 4
    length = int.from_bytes(init[at + 6 : at + 8], "big")
    parameter_set = init[at + 8 : at + 8 + length]
    assert parameter_set[0] & 0x1F == 7
    assert fmp4.read_track(init).codecs == f"avc1.{parameter_set[1:4].hex()}"


def test_the_init_segment_does_not_depend_on_a_chunk_s_bit_rate_or_name_its_writer(init):
    """Bit rate boxes of two chunks differ; with one inside, no two init segments of a rung were the same."""
    assert b"btrt" not in init
    assert b"Lav" not in init
    assert fmp4.find(init, "moov/udta") is None


def test_the_edit_list_has_one_entry_of_no_length(init):
    """A fragmented file does not know how long it is: zero stands for all of it."""
    elst = fmp4.require(init, "moov/trak/edts/elst")
    count, length, media_time, rate = struct.unpack_from(">IIiI", init, elst.body + 4)
    assert (count, length, media_time, rate) == (1, 0, 6000, 0x10000)


@pytest.mark.parametrize(("channels", "rate"), [(1, 44_100), (2, 48_000), (6, 48_000)])
def test_the_init_segment_of_sound_says_codec_channels_and_rate(tmp_path, channels, rate):
    encode_sound(tmp_path, Sound(0.3, rate_hz=rate, channels=channels), 440)
    with av.open(str(tmp_path / "audio.m4a")) as container:
        init = fmp4.init_segment(container.streams.audio[0], rate, 1024)
    track = fmp4.read_track(init)
    assert (track.codecs, track.channels, track.rate_hz, track.timescale) == ("mp4a.40.2", channels, rate, rate)
    assert track.media_time == 1024


def test_what_is_neither_avc_nor_aac_is_refused(init):
    with pytest.raises(fmp4.BrokenBox, match="neither"):
        fmp4.read_track(init.replace(b"avc1", b"hev1"))
