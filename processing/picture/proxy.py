"""The proxy: one small MP4 that starts to play before it is loaded, remuxed from one rung and the first AAC track.

Belongs here: putting finished packets into one file. Does not belong here: encoding (ladder, sound/aac) or which rung
it is (proxy_plan).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from processing.failures import BadInput
from processing.picture.ladder import decoding_time
from processing.probe.opening import open_media
from processing.work import Input, Result, Task

PROXY_FILE = "proxy.mp4"
LADDER_PREFIX = "ladder/"
SOUND_INPUT = "aac/0"
SOUND_FILE = "audio.m4a"


def make(task: Task) -> Result:
    """Write `proxy.mp4`. Inputs: `ladder/<rung>/*` of one rung, `aac/0` where the source has sound.

    Video times stay those of the output timeline; the encoder delay of AAC is hidden by an edit list, so that sound
    and picture keep their distance. Raises BadInput without a rung.
    """
    chunks = rung_chunks(task.inputs)
    sound = task.inputs.get(SOUND_INPUT)
    task.out.mkdir(parents=True, exist_ok=True)
    timescale = int(chunks[0].facts["span"]["timescale"])
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    options |= {"video_track_timescale": str(timescale), "movie_timescale": str(timescale)}
    with ExitStack() as stack:
        first = stack.enter_context(open_media(chunks[0].path(str(chunks[0].facts["file"]))))
        output = stack.enter_context(av.open(str(task.out / PROXY_FILE), "w", format="mp4", options=options))
        video = output.add_stream_from_template(first.streams.video[0], opaque=True)
        video.time_base = Fraction(1, timescale)
        tracks: list[Iterator[tuple[Fraction, av.Packet[Any]]]] = [_video_packets(chunks, video)]
        if sound is not None:
            source = stack.enter_context(open_media(sound.path(str(sound.facts.get("file", SOUND_FILE)))))
            audio = output.add_stream_from_template(source.streams.audio[0], opaque=True)
            tracks.append(_audio_packets(source, audio))
        for _, packet in heapq.merge(*tracks, key=lambda timed: timed[0]):
            output.mux_one(packet)
    facts = {
        "file": PROXY_FILE,
        "rung": chunks[0].facts["rung"],
        "width": chunks[0].facts["width"],
        "height": chunks[0].facts["height"],
        "timescale": timescale,
        "first": chunks[0].facts["first"],
        "end": chunks[-1].facts["end"],
        "frames": sum(int(chunk.facts["frames"]) for chunk in chunks),
        "audio": None
        if sound is None
        else {"codecs": sound.facts["codecs"], "samples": sound.facts["samples"], "rate_hz": sound.facts["rate_hz"]},
    }
    return Result(facts=facts)


def rung_chunks(inputs: Mapping[str, Input]) -> list[Input]:
    """The chunks in time order. Raises BadInput when there is none, ValueError when they are of two rungs."""
    chunks = [inputs[name] for name in sorted(name for name in inputs if name.startswith(LADDER_PREFIX))]
    if not chunks:
        raise BadInput("there is no rung to make a proxy of", cure="send the file again from the original")
    if len({chunk.facts["rung"] for chunk in chunks}) > 1:
        raise ValueError("a proxy is made of one rung")
    return sorted(chunks, key=lambda chunk: int(chunk.facts["span"]["start"]))


def _video_packets(chunks: Sequence[Input], stream: VideoStream) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """Packets of all chunks with decoding times written anew: the presentation time two frames earlier.

    x264's own overlap where chunks meet at variable frame rate, and the muxer refuses those.
    """
    timescale = int(chunks[0].facts["span"]["timescale"])
    ordered: list[int] = []
    index = step = 0
    for chunk in chunks:
        with open_media(chunk.path(str(chunk.facts["file"]))) as container:
            packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        times = sorted(int(packet.pts or 0) for packet in packets)
        durations = {at: after - at for at, after in pairwise([*times, int(chunk.facts["end"])])}
        ordered += times
        step = step or durations[times[0]]
        for packet in packets:
            packet.dts = decoding_time(ordered, index, step)
            packet.duration = durations[int(packet.pts or 0)]
            packet.time_base = Fraction(1, timescale)
            packet.stream = stream
            index += 1
            yield Fraction(packet.dts, timescale), packet


def _audio_packets(
    source: av.container.InputContainer, stream: AudioStream
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    for packet in source.demux(source.streams.audio[0]):
        if packet.size:
            packet.stream = stream
            yield (packet.dts or 0) * (packet.time_base or Fraction(1)), packet
