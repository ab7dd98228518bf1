"""Which format is mutated how, and the n-th mutated file of a seed.

Belongs here: the table of formats, good files of each (of the corpus, or small ones made here), the choice of
mutations. Does not belong here: the mutations (plain and a module a family), or what becomes of the files (ordeal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from tests.media import make_audio, make_still, make_video, numbered_picture
from tests.mutated import boxes, elements, frames, nal, pages, riff, stills, transport
from tests.mutated.plain import PLAIN, Mutator, with_address

PLAIN_SHARE = 0.2  # of the mutations; the others know the format
ADDRESS_SHARE = 0.05
MOST_MUTATIONS = 3  # of one file: more, and the first stops every reader before the others are seen
LEAST_BYTES = 16  # less than that is not mutated further
TRIES = 50


@dataclass(frozen=True, slots=True)
class Format:
    """A family of files that are mutated alike: good ones of the corpus, and how to make a small one."""

    mutators: tuple[Mutator, ...]
    corpus: tuple[str, ...]
    make: Callable[[Path], Path]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutated file: what it was, what was done to it, and its bytes."""

    number: int
    format: str
    source: str
    mutators: tuple[str, ...]
    data: bytes

    @property
    def label(self) -> str:
        """All in one line."""
        return f"{self.number} {self.format} {self.source}: {', '.join(self.mutators)}"


Sources = Mapping[str, Sequence[tuple[str, bytes]]]


def _film(path: Path) -> Path:
    return make_video(path, frames=30, audio_rate_hz=16_000)


def _fragmented(path: Path) -> Path:
    import av

    whole = _film(path.with_suffix(".whole"))
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(whole)) as given, av.open(str(path), "w", format="mp4", options=options) as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return path


def _animation(path: Path) -> Path:
    first, *others = [Image.fromarray(numbered_picture(number, 96, 64)) for number in range(4)]
    first.save(path, "GIF", save_all=True, append_images=others, duration=100)
    return path


def _moving_webp(path: Path) -> Path:
    first, *others = [Image.fromarray(numbered_picture(number, 96, 64)) for number in range(4)]
    first.save(path, "WEBP", save_all=True, append_images=others, duration=100, quality=50)
    return path


FORMATS: Mapping[str, Format] = {
    "mp4": Format(
        boxes.MUTATORS,
        (
            "video/testsrc.mp4", "video/testsrc-hevc.mp4", "video/SAR-2by3.mp4", "video/h264-mjpeg.mp4",
            "video/mov_text.mp4", "video/sample_rotate_and_reflect.mp4", "video/bbb_176x144_128kbps_15fps_h263.3gp",
            "video/edit_list_positive_shift.mp4", "video/ffv1_3.mov", "audio/alac.m4a", "loudness/test_quiet.m4a",
        ),
        _film,
    ),
    "fragmented mp4": Format(boxes.MUTATORS, ("video/sample_fragmented.mp4",), _fragmented),
    "matroska": Format(
        elements.MUTATORS,
        (
            "video/sample_with_srt.mkv", "video/webvtt.mkv", "video/bear-vp9-odd-dimensions.webm",
            "video/no_duration.webm", "video/transparent.webm", "video/webm.webm", "audio/opus-5.1.mka",
        ),
        lambda path: make_video(path, frames=30, audio_rate_hz=16_000, container="matroska"),
    ),
    "mpegts": Format(
        (*transport.MUTATORS, *transport.MUTATORS, *nal.MUTATORS),
        ("video/sample_h264_mpeg_audio.ts",),
        lambda path: make_video(path, frames=30, audio_rate_hz=16_000, container="mpegts"),
    ),
    "avi": Format(
        riff.MUTATORS,
        ("video/sample.avi",),
        lambda path: make_video(
            path, frames=30, audio_rate_hz=16_000, audio_codec="pcm_s16le", codec="mjpeg", pixel_format="yuvj420p",
            container="avi",
        ),
    ),
    "wav": Format(
        riff.MUTATORS,
        ("audio/sample_rf64.wav", "audio/sine_24le.wav", "speech/cards-001.wav"),
        lambda path: make_audio(path, rate_hz=8000),
    ),
    "ogg": Format(
        pages.MUTATORS,
        ("audio/bear.opus",),
        lambda path: make_audio(path, codec="libopus", container="ogg"),
    ),
    "flac": Format(
        frames.FLAC,
        (),
        lambda path: make_audio(path, codec="flac", container="flac", rate_hz=16_000),
    ),
    "mp3": Format(
        frames.MP3,
        ("audio/mono.mp3", "audio/bear-id3.mp3"),
        lambda path: make_audio(path, codec="libmp3lame", container="mp3", rate_hz=16_000),
    ),
    "adts": Format(frames.ADTS, (), lambda path: make_audio(path, codec="aac", container="adts", rate_hz=16_000)),
    "h264": Format(nal.MUTATORS, (), lambda path: make_video(path, frames=30, container="h264")),
    "hevc": Format(
        nal.MUTATORS,
        ("video/hevc.265",),
        lambda path: make_video(
            path, frames=12, codec="libx265", container="hevc",
            codec_options={"preset": "ultrafast", "x265-params": "log-level=none:pools=none"},
        ),
    ),
    "png": Format(
        stills.PNG,
        ("image/Flag_of_the_Netherlands-16bit.png", "ocr/cyrillic.png", "ocr/issue_170.png"),
        make_still,
    ),
    "jpeg": Format(
        stills.JPEG,
        ("ocr/img_exif_orientation.jpg", "ocr/empty_black.jpg", "image/Landscape_6.jpg"),
        lambda path: make_still(path, image_format="JPEG"),
    ),
    "gif": Format(stills.GIF, (), _animation),
    "webp": Format(riff.MUTATORS, ("image/anim.webp",), _moving_webp),
    "tiff": Format(stills.TIFF, ("ocr/phototest.tif",), lambda path: make_still(path, image_format="TIFF")),
    "heif": Format(
        boxes.MUTATORS,
        ("image/colors-animated-8bpc-audio.avif", "image/colors_hdr_rec2020.avif", "image/IMG_2682.heic"),
        lambda path: make_still(path, width=64, height=48, image_format="AVIF"),
    ),
    "others": Format(
        (),
        ("video/sample.flv", "video/fixture.wmv.asf", "audio/sample_nb.amr", "video/stereo_spatial.mp4"),
        lambda path: make_video(
            path, frames=30, codec="flv", b_frames=0, container="flv", audio_rate_hz=44_100, audio_codec="libmp3lame",
        ),
    ),
}  # fmt: skip


def small_sources(folder: Path) -> dict[str, list[tuple[str, bytes]]]:
    """One small good file of each format, made in `folder`."""
    found = {}
    for name, each in FORMATS.items():
        path = each.make(folder / name.replace(" ", "-"))
        found[name] = [("made", path.read_bytes())]
    return found


def corpus_sources(root: Path, folder: Path) -> dict[str, list[tuple[str, bytes]]]:
    """The corpus's files of each format, and the small one made in `folder`."""
    made = small_sources(folder)
    return {
        name: made[name] + [(relative, (root / relative).read_bytes()) for relative in each.corpus]
        for name, each in FORMATS.items()
    }


def mutated(sources: Sources, seed: int, number: int, addresses: Sequence[str] = ()) -> Mutation:
    """The file `number` of `seed`: the same bytes for the same sources and addresses, and never a source's own.

    `addresses` are places nobody should open; some files name one.
    """
    dice = Random(f"{seed}/{number}")
    names = list(sources)
    name = names[number % len(names)]
    source, data = sources[name][number // len(names) % len(sources[name])]
    for _ in range(TRIES):
        chosen = [_mutator(name, dice, addresses) for _ in range(dice.choice((1, 1, 2, MOST_MUTATIONS)))]
        found = data
        for mutator in chosen:
            if len(found) >= LEAST_BYTES:
                found = mutator(found, dice)
        if found != data:
            return Mutation(number, name, source, tuple(mutator.__name__ for mutator in chosen), found)
    raise ValueError(f"nothing changes {source} ({name})")


def _mutator(name: str, dice: Random, addresses: Sequence[str]) -> Mutator:
    if addresses and dice.random() < ADDRESS_SHARE:
        address = dice.choice(addresses)
        return boxes.references_elsewhere(address) if name in ("mp4", "fragmented mp4") else with_address(address)
    if not FORMATS[name].mutators or dice.random() < PLAIN_SHARE:
        return dice.choice(PLAIN)
    return dice.choice(FORMATS[name].mutators)
