"""The single command again, by the libraries that PyAV carries: to tell what is a library's doing from a design's.

Belongs here: one process that decodes once and makes what `byhand.single` makes, with the same encoder settings and no
contract. Does not belong here: timing it (contestants).

It is what somebody would write who knows the libraries: one filter graph with a sink for each output, encoders with
their own threads, the muxers of libavformat. Run: `python -m benchmarks.bylibrary SOURCE FOLDER RATE RUNG...`, a rung
as seven numbers and names joined by colons.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
from av.codec.context import Flags

from benchmarks import byhand
from benchmarks.byhand import Rung

HLS = {"hls_time": str(byhand.SEGMENT_S), "hls_playlist_type": "vod", "hls_segment_type": "fmp4"}
SOUND_RATE_HZ, SPEECH_RATE_HZ = 48_000, 16_000
POSTER_WIDTH = 1280


def argument(rung: Rung) -> str:
    """A rung as one argument of this program."""
    return ":".join(str(value) for value in astuple(rung))


def _rung(text: str) -> Rung:
    width, height, preset, *rest = text.split(":")
    return Rung(int(width), int(height), preset, *(int(value) for value in rest))


class _Encoder:
    """An encoder and the containers its packets go into, the first as they are, the others as copies."""

    def __init__(self, stream: Any, containers: list[tuple[Any, Any]]) -> None:
        self._stream = stream
        self._containers = containers

    def take(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            base = packet.time_base
            times = packet.pts, packet.dts
            for container, stream in self._containers:
                packet.stream = stream
                packet.time_base, packet.pts, packet.dts = base, *times
                container.mux(packet)


def _graph(source: Any, rungs: list[Rung], rate: int) -> tuple[Any, Any, dict[str, Any]]:
    """One graph over pictures: its entrance, and the exits by name."""
    graph = av.filter.Graph()
    entrance = graph.add_buffer(template=source)
    names = [*(f"v{rung.height}" for rung in rungs), "poster", "tiles", "shots"]
    split = graph.add("split", str(len(names)))
    entrance.link_to(split)
    chains = {f"v{rung.height}": [("scale", f"{rung.width}:{rung.height}:flags=bicubic")] for rung in rungs}
    chains["poster"] = [("thumbnail", str(rate * 5)), ("scale", f"{POSTER_WIDTH}:-2")]
    chains["tiles"] = [("fps", "1"), ("scale", f"{byhand.TILE_WIDTH}:-2"), ("tile", "10x10")]
    shots = f"eq(n,0)+gt(scene,{byhand.SCENE_THRESHOLD})"
    chains["shots"] = [("select", f"'{shots}'"), ("scale", "320:-2")]
    exits = {}
    for number, name in enumerate(names):
        last: Any = split
        for index, (kind, arguments) in enumerate(chains[name]):
            step = graph.add(kind, arguments)
            last.link_to(step, number if index == 0 else 0, 0)
            last = step
        exits[name] = graph.add("buffersink")
        last.link_to(exits[name])
    graph.configure()
    return graph, entrance, exits


def _sound_graph(source: Any) -> tuple[Any, Any, dict[str, Any]]:
    graph = av.filter.Graph()
    entrance = graph.add_abuffer(template=source)
    split = graph.add("asplit", "4")
    entrance.link_to(split)
    chains = {
        "hear": [("aformat", f"sample_fmts=fltp:sample_rates={SOUND_RATE_HZ}"), ("asetnsamples", "1024:p=0")],
        "speech": [
            ("aresample", str(SPEECH_RATE_HZ)),
            ("aformat", "sample_fmts=s16:channel_layouts=mono"),
            ("asetnsamples", "4096:p=0"),
        ],
        "loud": [("ebur128", "peak=true:framelog=quiet")],
        "wave": [("showwavespic", "s=1600x240")],
    }
    exits = {}
    for number, (name, steps) in enumerate(chains.items()):
        last: Any = split
        for index, (kind, arguments) in enumerate(steps):
            step = graph.add(kind, arguments)
            last.link_to(step, number if index == 0 else 0, 0)
            last = step
        exits[name] = graph.add("abuffersink" if name != "wave" else "buffersink")
        last.link_to(exits[name])
    graph.configure()
    return graph, entrance, exits


def _pulled(sink: Any) -> Iterator[Any]:
    with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            yield sink.pull()


class _Pictures:
    """Saves each frame it takes as a numbered file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._count = 0

    def take(self, frame: Any) -> None:
        frame.to_image().save(self._folder / f"{self._name}-{self._count:03d}.jpg")
        self._count += 1


class _Outputs:
    """All files of the program, and who takes which frames."""

    def __init__(self, folder: Path, rate: int) -> None:
        self._folder = folder
        self._rate = rate
        self._proxy = av.open(str(folder / "proxy.mp4"), "w", options={"movflags": "+faststart"})
        self._opened: list[Any] = [self._proxy]
        self._encoders: list[_Encoder] = []
        self.takers: dict[str, Callable[[Any], None]] = {}
        for name in ("poster", "tiles", "shots", "wave"):
            self.takers[name] = _Pictures(folder, name).take
        self.takers["loud"] = lambda _frame: None

    def _hls(self, name: str) -> Any:
        self._opened.append(av.open(str(self._folder / name / "index.m3u8"), "w", format="hls", options=HLS))
        return self._opened[-1]

    def _encode(self, name: str, places: list[tuple[Any, Any]]) -> None:
        self._encoders.append(_Encoder(places[0][1], places))
        self.takers[name] = self._encoders[-1].take

    def rung(self, rung: Rung, *, is_proxy: bool) -> None:
        output = self._hls(f"v{rung.height}")
        stream = output.add_stream("libx264", rate=self._rate, options=_options(rung, self._rate))
        stream.width, stream.height, stream.pix_fmt = rung.width, rung.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, self._rate)
        stream.codec_context.thread_type = "AUTO"
        self._encode(f"v{rung.height}", [(output, stream), *self._beside(stream, is_proxy)])

    def sound(self) -> None:
        output = self._hls("audio")
        aac = output.add_stream("aac", rate=SOUND_RATE_HZ)
        aac.bit_rate = 128_000
        self._encode("hear", [(output, aac), *self._beside(aac, is_proxy=True)])
        speech = av.open(str(self._folder / "speech.flac"), "w")
        self._opened.append(speech)
        flac = speech.add_stream("flac", rate=SPEECH_RATE_HZ, layout="mono", format="s16")
        self._encode("speech", [(speech, flac)])

    def _beside(self, stream: Any, is_proxy: bool) -> list[tuple[Any, Any]]:
        stream.codec_context.flags |= Flags.global_header
        if not is_proxy:
            return []
        stream.codec_context.open()
        return [(self._proxy, self._proxy.add_stream_from_template(stream))]

    def take(self, exits: dict[str, Any]) -> None:
        """Take what has come out of a graph."""
        for name, sink in exits.items():
            for made in _pulled(sink):
                self.takers[name](_timed(made, self._rate) if name[0] == "v" else made)

    def close(self) -> None:
        for encoder in self._encoders:
            encoder.take(None)
        for output in self._opened:
            output.close()


def make(source: Path, folder: Path, rate: int, rungs: list[Rung]) -> None:
    """Everything, from one decode."""
    proxy_height = next(rung.height for rung in rungs if rung.height <= byhand.PROXY_HEIGHT)
    outputs = _Outputs(folder, rate)
    with av.open(str(source)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type = "AUTO"
        for rung in rungs:
            outputs.rung(rung, is_proxy=rung.height == proxy_height)
        outputs.sound()
        graphs = {"video": _graph(video, rungs, rate), "audio": _sound_graph(audio)}
        for packet in container.demux(video, audio):
            _, entrance, exits = graphs[packet.stream.type]
            for frame in packet.decode():
                entrance.push(frame)
                outputs.take(exits)
        for _, entrance, exits in graphs.values():
            entrance.push(None)
            outputs.take(exits)
    outputs.close()


def _timed(frame: Any, rate: int) -> Any:
    frame.pts = round(frame.pts * frame.time_base * rate)
    frame.time_base = Fraction(1, rate)
    frame.pict_type = 0
    return frame


def _options(rung: Rung, rate: int) -> dict[str, str]:
    """What `byhand` says on the command line."""
    said = iter(rung.encoder(rate))
    known = {name.lstrip("-").partition(":")[0]: value for name, value in zip(said, said, strict=True)}
    names = ("preset", "profile", "crf", "maxrate", "bufsize", "g", "keyint_min", "sc_threshold", "x264-params")
    return {name: known[name] for name in names}


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), [_rung(text) for text in sys.argv[4:]])
