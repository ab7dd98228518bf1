"""The commands people write by hand for what a source's picture and sound derivatives are.

Belongs here: the command lines of two contestants. Does not belong here: timing them (contestants).

Both encode the same ladder as this house, with the same encoder settings: `script` is one command for each output,
which is how such scripts grow; `single` one command with all outputs, decoding once, the proxy taken from a rung by the
tee muxer, which is the best one can do by hand. Neither checks what it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEGMENT_S = 6
KEY_FRAMES_S = 2
PROXY_HEIGHT = 540
TILE_WIDTH = 240
SCENE_THRESHOLD = 0.3


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: pixels, and what its encoder is told."""

    width: int
    height: int
    preset: str
    lookahead_frames: int
    crf: int
    cap_bps: int
    buffer_bits: int

    def encoder(self, rate: int) -> list[str]:
        """Options of libx264 as this house sets them, apart from what makes bytes repeat."""
        keys = rate * KEY_FRAMES_S
        return [
            *("-c:v", "libx264", "-preset", self.preset, "-profile:v", "high", "-pix_fmt", "yuv420p"),
            *("-crf", str(self.crf), "-maxrate", str(self.cap_bps), "-bufsize", str(self.buffer_bits)),
            *("-g", str(keys), "-keyint_min", str(keys), "-sc_threshold", "0"),
            *("-x264-params", f"rc-lookahead={self.lookahead_frames}:scenecut=0:open-gop=0:bframes=3:b-pyramid=normal"),
        ]


def script(program: str, source: Path, folder: Path, ladder: Sequence[Rung], rate: int) -> list[list[str]]:
    """One command an output, to be run one after the other."""

    def command(*arguments: str) -> list[str]:
        return [program, *QUIET, "-i", str(source), *arguments]

    commands = [
        command("-map", "0:v:0", "-vf", _scaled(rung), *rung.encoder(rate), "-an", *_hls(folder / f"v{rung.height}"))
        for rung in ladder
    ]
    proxy = _proxy(ladder)
    commands += [
        command("-vn", *AAC, *_hls(folder / "audio")),
        command(
            "-vf", _scaled(proxy), *proxy.encoder(rate), *AAC, "-movflags", "+faststart", str(folder / "proxy.mp4")
        ),
        command("-vf", f"thumbnail={rate * 5},scale=1280:-2", "-frames:v", "1", str(folder / "poster.jpg")),
        command("-vf", f"fps=1,scale={TILE_WIDTH}:-2,tile=10x10", "-an", str(folder / "storyboard-%03d.jpg")),
        command(
            "-vf",
            SHOTS,
            "-fps_mode",
            "vfr",
            str(folder / "shot-%03d.jpg"),
        ),
        command("-vn", *FLAC, str(folder / "speech.flac")),
        command("-vn", "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"),
        command("-filter_complex", "showwavespic=s=1600x240", "-frames:v", "1", str(folder / "waveform.png")),
    ]
    return commands


def single(program: str, source: Path, folder: Path, ladder: Sequence[Rung], rate: int) -> list[list[str]]:
    """One command with every output."""
    proxy = _proxy(ladder)
    names = [f"v{rung.height}" for rung in ladder]
    pictures = [*names, "poster", "tiles", "shots"]
    sounds = ["hear", "speech", "loud", "wave"]
    graph = [f"[0:v]split={len(pictures)}" + "".join(f"[{name}in]" for name in pictures)]
    graph += [f"[{name}in]{_scaled(rung)}[{name}]" for name, rung in zip(names, ladder, strict=True)]
    graph += [
        f"[posterin]thumbnail={rate * 5},scale=1280:-2[poster]",
        f"[tilesin]fps=1,scale={TILE_WIDTH}:-2,tile=10x10[tiles]",
        f"[shotsin]{SHOTS}[shots]",
        f"[0:a]asplit={len(sounds)}" + "".join(f"[{name}in]" for name in sounds),
        "[hearin]asplit=2[hear][hearproxy]",
        "[speechin]aresample=16000[speech]",
        "[loudin]ebur128=peak=true:framelog=quiet[loud]",
        "[wavein]showwavespic=s=1600x240[wave]",
    ]
    arguments = [program, *QUIET, "-i", str(source), "-filter_complex", ";".join(graph)]
    for name, rung in zip(names, ladder, strict=True):
        if rung is proxy:
            target = f"[select=v:{_tee_hls()}]{folder / name / 'index.m3u8'}"
            target += f"|[f=mp4:movflags=+faststart]{folder / 'proxy.mp4'}"
            arguments += [
                "-map",
                f"[{name}]",
                *rung.encoder(rate),
                "-map",
                "[hearproxy]",
                *AAC,
                "-flags",
                "+global_header",
            ]
            arguments += ["-f", "tee", target]
        else:
            arguments += ["-map", f"[{name}]", *rung.encoder(rate), *_hls(folder / name)]
    arguments += ["-map", "[hear]", *AAC, *_hls(folder / "audio")]
    arguments += ["-map", "[poster]", "-frames:v", "1", str(folder / "poster.jpg")]
    arguments += ["-map", "[tiles]", str(folder / "storyboard-%03d.jpg")]
    arguments += ["-map", "[shots]", "-fps_mode", "vfr", str(folder / "shot-%03d.jpg")]
    arguments += ["-map", "[speech]", *FLAC, str(folder / "speech.flac")]
    arguments += ["-map", "[loud]", "-f", "null", "-"]
    arguments += ["-map", "[wave]", "-frames:v", "1", str(folder / "waveform.png")]
    return [arguments]


QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")
AAC = ("-c:a", "aac", "-b:a", "128k")
FASTSTART = ("-movflags", "+faststart")
SHOTS = f"select='eq(n,0)+gt(scene,{SCENE_THRESHOLD})',scale=320:-2"
FLAC = ("-ac", "1", "-ar", "16000", "-c:a", "flac")


def folders(folder: Path, ladder: Iterable[Rung]) -> None:
    """Make the folders both write into."""
    for name in [*(f"v{rung.height}" for rung in ladder), "audio"]:
        (folder / name).mkdir(parents=True)


def _proxy(ladder: Sequence[Rung]) -> Rung:
    return next(rung for rung in ladder if rung.height <= PROXY_HEIGHT)


def _scaled(rung: Rung) -> str:
    return f"scale={rung.width}:{rung.height}:flags=bicubic"


def _hls(folder: Path) -> list[str]:
    return [
        *("-f", "hls", "-hls_time", str(SEGMENT_S), "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"),
        str(folder / "index.m3u8"),
    ]


def _tee_hls() -> str:
    return f"f=hls:hls_time={SEGMENT_S}:hls_playlist_type=vod:hls_segment_type=fmp4"
