"""Files whose own fields lie, as mutations of good ones found them: facts that can be worked with, or a refusal."""

from __future__ import annotations

import copy
import errno
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import pytest
from PIL import PngImagePlugin

from media_assets.picture import CHUNKS
from processing.chunks import chunk_pass, chunk_plan
from processing.failures import BadInput, OutOfBudget, Transient
from processing.picture.ladder_plan import chunk_s
from processing.probe.media_info import LONGEST_S, facts_of
from processing.probe.opening import reading_failure
from processing.probe.packets import Track, measure
from processing.sound import plan, sound_pass
from tests.media import make_still, make_video, source_task
from tests.mutated import boxes, elements
from tests.mutated.tree import Node, nodes_named


def with_edits(path: Path, entries: bytes, *, track: int = 0) -> Path:
    """The MP4 with an edit list (ISO/IEC 14496-12, 8.6.6) of `entries` in the place of a track's own."""
    nodes = boxes.parse(path.read_bytes())
    children = nodes_named(nodes, (b"trak",))[track].children
    assert children is not None
    children[:] = [child for child in children if child.name != b"edts"]
    edits = Node(b"elst", (len(entries) // 12).to_bytes(8, "big") + entries)
    children.insert(1, Node(b"edts", b"", [edits]))
    path.write_bytes(boxes.write(nodes))
    return path


def empty_edit(units: int) -> bytes:
    """Nothing for `units` of the movie's clock, then the track from its beginning."""
    return units.to_bytes(4, "big") + bytes.fromhex("ffffffff00010000") + bytes.fromhex("000003e80000000000010000")


def test_a_track_that_begins_after_days_is_refused(tmp_path: Path) -> None:
    """Every bound of time grows with the length: one field of an edit list allowed its soundtrack weeks of silence."""
    film = make_video(tmp_path / "film.mp4", frames=20, audio_rate_hz=16_000)
    with pytest.raises(BadInput, match=r"lasts 597 hours, 24 are allowed"):
        facts_of(with_edits(film, empty_edit(0x7FFFFFFF), track=1))
    late = facts_of(with_edits(film, empty_edit(60_000), track=1))
    assert 60 < late["duration_s_bound"] < LONGEST_S


def test_a_last_packet_that_lasts_for_days_is_refused(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=20, audio_rate_hz=16_000)
    nodes = boxes.parse(film.read_bytes())
    table = nodes_named(nodes, (b"stts",))[1]
    (entries,) = struct.unpack_from(">I", table.body, 4)
    count, length = struct.unpack_from(">II", table.body, len(table.body) - 8)
    more = struct.pack(">IIII", count - 1, length, 1, 0x7FFFFFFF) if count > 1 else struct.pack(">II", 1, 0x7FFFFFFF)
    total = entries + 1 if count > 1 else entries
    table.body = struct.pack(">II", 0, total) + table.body[8:-8] + more
    film.write_bytes(boxes.write(nodes))
    with pytest.raises(BadInput, match=r"lasts 37 hours, 24 are allowed"):
        facts_of(film)


def test_a_chunk_of_one_picture_for_a_day_may_not_take_weeks() -> None:
    info = {"video": {"timescale": 1000}}
    assert chunk_s(info, {"start": 500, "end": 9_500}) == 9.0
    assert CHUNKS.work.bounds.wall_s(chunk_s(info, {"start": 0, "end": LONGEST_S * 1000})) < 2 * 3600


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EACCES, errno.EPERM, errno.EIO])
def test_a_demuxers_word_on_the_disk_is_believed_only_where_it_is_true(tmp_path: Path, number: int) -> None:
    """A file whose reading ends in "no such file" while it is there would be waited for without end."""
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.write_bytes(b"x")
    claimed = reading_failure(OSError(number, "says a demuxer"), there)
    assert isinstance(claimed, BadInput)
    assert "damaged" in claimed.cause
    true = reading_failure(OSError(number, "says the disk"), gone)
    assert "damaged" not in true.cause
    assert isinstance(true, BadInput if number in (errno.EACCES, errno.EPERM) else Transient)


class GrowingContainer:
    """A container whose demuxer found another stream while it was read: PyAV stumbles over it when it flushes."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def demux(self, streams: Any) -> Iterator[Any]:
        yield from self._container.demux(streams)
        raise IndexError("list index out of range")


def test_a_stream_that_begins_late_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged FLV began another stream while it was sampled, and was refused as a fault of ours."""
    film = make_video(tmp_path / "film.flv", frames=8, container="flv", audio_rate_hz=44_100)  # sampled to its end
    expected = facts_of(film)
    opened = av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: GrowingContainer(opened(*args, **options)))
    info = facts_of(film)
    assert info == expected
    frames = source_task(film, tmp_path / "frames", parameters=chunk_plan.unit_parameters(info, {}, "00000"))
    assert chunk_pass.make_unit(frames).facts["frames"] == 8
    sound = source_task(film, tmp_path / "sound", parameters=plan.unit_parameters(info, {}, "0"))
    assert sound_pass.make_unit(sound).completeness == {"num": 1, "den": 1}


def test_a_picture_too_large_for_its_worker_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner would look for damage that is not there, and send it again."""
    path = make_still(tmp_path / "large.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", _refuse_memory)
    with pytest.raises(OutOfBudget, match="more memory than its worker may use") as caught:
        facts_of(path)
    assert caught.value.cure


def _refuse_memory(self: object) -> None:
    raise MemoryError


def test_a_picture_that_claims_to_come_after_all_packets_is_not_believed() -> None:
    track = Track()
    track.pts.extend((0, 1, 2))
    track.duration.extend((1, 1, 1))
    assert list(measure(track, Fraction(1, 25), None, first_shown=900).times) == [0, 1, 2]


def test_times_that_no_column_can_hold_are_refused(tmp_path: Path) -> None:
    """Far apart in a coarse clock they were counted in a fine one, and overflowed: a fault of ours, so it seemed."""
    film = make_video(tmp_path / "film.mkv", frames=20, container="matroska")
    nodes = elements.parse(film.read_bytes())
    (scale,), (segment,), clusters = (
        nodes_named(nodes, (bytes.fromhex(name),)) for name in ("2ad7b1", "18538067", "1f43b675")
    )
    scale.body = (10**9).to_bytes(4, "big")  # a tick of the file is a second
    later = copy.deepcopy(clusters[-1])
    assert later.children is not None
    assert segment.children is not None
    nodes_named(later.children, (b"\xe7",))[0].body = (1 << 50).to_bytes(7, "big")
    segment.children.append(later)
    film.write_bytes(elements.write(nodes))
    with pytest.raises(BadInput, match="24 are allowed"):
        facts_of(film)
