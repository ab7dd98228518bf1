"""HLS and DASH over the same CMAF segments: the rungs and the sound of a source, packaged.

Belongs here: the operation, from products of the passes to a folder of segments, playlists and a DASH manifest. Does
not belong here: how a segment is cut (video_segments, audio_segments) or a text written (playlists, dash).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

from processing.failures import ContractBroken
from processing.picture import dash, playlists
from processing.picture.audio_segments import package_track
from processing.picture.playlists import AudioRendition, Variant
from processing.picture.rates import average_bps, stated_bps
from processing.picture.segments import PackagedTrack, target_duration_s
from processing.picture.video_segments import ChunkScan, package_rung, require_aligned, scan_chunk
from processing.timeline import Span, from_rational
from processing.work import Input, Result, Task

LADDER = "ladder/"
SOUND = "aac/"
CHUNK_FILE = "chunk.mp4"
SOUND_FILE = "audio.m4a"
RUNGS_AT_ONCE = 2


def make(task: Task) -> Result:
    """Package the products `ladder/<height>/<index>` and `aac/<n>` into HLS and DASH. Raises `ContractBroken`."""
    info = task.inputs["media_info"].facts
    rungs = _package_pictures(task)
    sound = _package_sound(task, rungs)
    tracks = [*rungs, *sound.values()]
    if not tracks:
        raise ContractBroken("there is neither a rung nor a sound track to package", cure="make the passes first")
    target_s = target_duration_s(tracks)
    renditions = describe_audio(sound, info["audio"], task.parameters.get("language"))
    frame_rate = _frame_rate(task.inputs) if rungs else None
    for track in tracks:
        _write(task.out / track.folder / playlists.MEDIA_NAME, playlists.media_playlist(track, target_s))
    for rung in rungs:
        _write(task.out / rung.folder / playlists.I_FRAMES_NAME, playlists.i_frame_playlist(rung, target_s))
    variants = _variants(rungs, renditions, frame_rate, target_s)
    master = playlists.multivariant_playlist(variants, [_i_frame_variant(rung) for rung in rungs], renditions)
    _write(task.out / playlists.MASTER_NAME, master)
    peaks = [(rung, stated_bps(rung.peak_bps(target_s))) for rung in rungs]
    mpd = dash.manifest(peaks, renditions, frame_rate=frame_rate, target_s=target_s)
    _write(task.out / dash.MANIFEST_NAME, mpd)
    return Result(facts=_facts(info, rungs, renditions, variants, target_s))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def rung_inputs(inputs: Mapping[str, Input]) -> dict[int, list[Input]]:
    """The ladder's products by rung, the tallest first, each rung's chunks in order."""
    found: dict[int, list[tuple[int, Input]]] = {}
    for name, item in inputs.items():
        if name.startswith(LADDER):
            height, index = name.removeprefix(LADDER).split("/")
            found.setdefault(int(height), []).append((int(index), item))
    ordered = sorted(found.items(), reverse=True)
    return {height: [item for _, item in sorted(chunks, key=lambda pair: pair[0])] for height, chunks in ordered}


def sound_inputs(inputs: Mapping[str, Input]) -> dict[int, Input]:
    """The AAC products by their position in media_info's list of tracks; one without a sample is left out."""
    found = {int(name.removeprefix(SOUND)): item for name, item in inputs.items() if name.startswith(SOUND)}
    return {n: item for n, item in sorted(found.items()) if item.facts.get("samples", 1)}


def _frame_rate(inputs: Mapping[str, Input]) -> Fraction:
    """The nominal rate at which the rungs were encoded."""
    first = next(iter(rung_inputs(inputs).values()))[0]
    return from_rational(first.facts["frame_rate"])


def _package_pictures(task: Task) -> list[PackagedTrack]:
    """Every rung, two at a time: this stands between the last chunk of a source and its release."""
    inputs = rung_inputs(task.inputs)
    spans = [Span.from_json(chunk.facts["span"]) for chunks in inputs.values() for chunk in chunks]

    def scan(chunks: Sequence[Input]) -> list[ChunkScan]:
        found = [scan_chunk(chunk.path(CHUNK_FILE)) for chunk in chunks]
        return [scan for scan in found if scan is not None]

    with ThreadPoolExecutor(RUNGS_AT_ONCE) as threads:
        scans = dict(zip(inputs, threads.map(scan, inputs.values()), strict=True))
        if not scans:
            return []
        if not all(scans.values()):
            raise ContractBroken("a rung has no picture in any chunk", cure="make the chunks again")
        require_aligned(scans)
        delay = max(scan.reorder_delay for rung in scans.values() for scan in rung)

        def package(height: int) -> PackagedTrack:
            return package_rung(
                task.out / "video" / str(height),
                f"video/{height}",
                scans[height],
                timescale=spans[0].timescale,
                end=max(span.end for span in spans),
                reorder_delay=delay,
            )

        return list(threads.map(package, scans))


def _package_sound(task: Task, rungs: Sequence[PackagedTrack]) -> dict[int, PackagedTrack]:
    starts_s: list[Fraction] = []
    end_s = Fraction(0)
    if rungs:
        starts_s = [Fraction(segment.start, rungs[0].timescale) for segment in rungs[0].segments]
        end_s = Fraction(rungs[0].end, rungs[0].timescale)
    return {
        n: package_track(task.out / "audio" / str(n), f"audio/{n}", item.path(SOUND_FILE), starts_s, end_s)
        for n, item in sound_inputs(task.inputs).items()
    }


def describe_audio(
    sound: Mapping[int, PackagedTrack], tracks: Sequence[Mapping[str, Any]], language: str | None
) -> list[AudioRendition]:
    """How each track is presented: a name of its own, its language, one default, one automatic choice a language.

    `sound` is by position in `tracks` (media_info's audio); `language` stands in where a track states none.
    """
    default = next((n for n in sound if tracks[n].get("default")), next(iter(sound), None))
    names: set[str] = set()
    spoken: set[str | None] = {tracks[default].get("language") or language} if default is not None else set()
    renditions = []
    for n, track in sound.items():
        tongue = tracks[n].get("language") or language
        name = playlists.free_name(playlists.quotable(tracks[n].get("title") or tongue or f"Track {n + 1}"), names)
        names.add(name)
        renditions.append(AudioRendition(track, name, tongue, n == default, n == default or tongue not in spoken))
        spoken.add(tongue)
    return renditions


def _variants(
    rungs: Sequence[PackagedTrack],
    renditions: Sequence[AudioRendition],
    frame_rate: Fraction | None,
    target_s: int,
) -> list[Variant]:
    """One variant a rung, or for sound alone one that plays the default track."""
    sound = [rendition.track for rendition in renditions]
    sound_peak = max((track.peak_bps(target_s) for track in sound), default=0)
    sound_average = max((track.average_bps for track in sound), default=0)
    sound_codecs = list(dict.fromkeys(track.codecs for track in sound))
    if not rungs:
        chosen = next(rendition.track for rendition in renditions if rendition.is_default)
        uri = f"{chosen.folder}/{playlists.MEDIA_NAME}"
        return [Variant(uri, stated_bps(sound_peak), sound_average, ",".join(sound_codecs), None, None)]
    return [
        Variant(
            uri=f"{rung.folder}/{playlists.MEDIA_NAME}",
            bandwidth=stated_bps(rung.peak_bps(target_s) + sound_peak),
            average_bandwidth=rung.average_bps + sound_average,
            codecs=",".join([rung.codecs, *sound_codecs]),
            resolution=(rung.width, rung.height),
            frame_rate=frame_rate,
        )
        for rung in rungs
    ]


def _i_frame_variant(rung: PackagedTrack) -> Variant:
    """The rung as an I-frame playlist; the peak is that of a player which fetches key frames in real time."""
    peak = max(average_bps(key.length, Fraction(key.duration, rung.timescale)) for key in rung.key_frames)
    return Variant(
        uri=f"{rung.folder}/{playlists.I_FRAMES_NAME}",
        bandwidth=stated_bps(peak),
        average_bandwidth=average_bps(sum(key.length for key in rung.key_frames), rung.duration_s),
        codecs=rung.codecs,
        resolution=(rung.width, rung.height),
        frame_rate=None,
    )


def _facts(
    info: Mapping[str, Any],
    rungs: Sequence[PackagedTrack],
    renditions: Sequence[AudioRendition],
    variants: Sequence[Variant],
    target_s: int,
) -> dict[str, Any]:
    return {
        "duration": dict(info["duration"]),
        "target_duration_s": target_s,
        "video": [
            {
                "folder": rung.folder,
                "width": rung.width,
                "height": rung.height,
                "codecs": rung.codecs,
                "timescale": rung.timescale,
                "start": rung.start,
                "end": rung.end,
                "frames": rung.samples,
                "segments": len(rung.segments),
                "bytes": rung.bytes,
                "bandwidth": variant.bandwidth,
                "average_bandwidth": variant.average_bandwidth,
            }
            for rung, variant in zip(rungs, variants, strict=False)
        ],
        "audio": [
            {
                "folder": rendition.track.folder,
                "name": rendition.name,
                "language": rendition.language,
                "default": rendition.is_default,
                "channels": rendition.track.channels,
                "codecs": rendition.track.codecs,
                "timescale": rendition.track.timescale,
                "end": rendition.track.end,
                "segments": len(rendition.track.segments),
                "bytes": rendition.track.bytes,
            }
            for rendition in renditions
        ],
    }
