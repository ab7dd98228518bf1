"""Whatever is thrown in: a named state, one sentence of cause and what to do, nothing lost, nothing half there."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources import intake
from resources.house import House
from resources.ledger.rows import Registration
from resources.ledger.states import AssetState
from resources.postgres.server import EmbeddedPostgres
from resources.status import source_entry
from sensors.folder import list_folder
from tests.command_line import CommandLine
from tests.house import make, take_in
from tests.media import make_video

STREAMS = 1001
NOBODY = 65534


def end_of(house: House, path: Path) -> tuple[str, str | None]:
    """State and cause of a file that went all the way."""
    (registration,) = take_in(house, path)
    return settled(house, registration)


def settled(house: House, registration: Registration) -> tuple[str, str | None]:
    states = house.ledger.states(registration.source_key)
    if not all(row.state is AssetState.QUARANTINED for row in states.values()):
        make(house, registration)
    entry = source_entry(house.ledger, house.store, house.ledger.source(registration.source_key))
    assert entry["state"] not in {"running", "queued", "registered"}
    if entry["state"] != "ready":
        assert not house.published.exists(registration.source_key)
    for folder in (house.settings.home / "store" / "staging", house.settings.home / "originals" / "incoming"):
        assert not folder.exists() or not list(folder.iterdir())
    return str(entry["state"]), entry["cause"]


@pytest.mark.parametrize("length", [60, 100, 140, 200])
def test_a_matroska_cut_in_its_head_is_refused_not_waited_for(house: House, tmp_path: Path, length: int) -> None:
    """Its demuxer speaks of an input/output error, which was taken for a broken disk and tried again for ever."""
    whole = make_video(tmp_path / "whole.mkv", frames=20, container="matroska")
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[:length])
    state, cause = end_of(house, tmp_path / "cut.mkv")
    assert state == "quarantined"
    assert cause


def a_film_of_tracks(count: int) -> bytes:
    """QuickTime with `count` tracks of sound (ISO/IEC 14496-12, 8), each a tenth of a second of silence."""

    def box(name: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I4s", len(content) + 8, name) + content

    def table(name: bytes, *numbers: int) -> bytes:
        return box(name, struct.pack(f">{len(numbers) + 1}I", 0, *numbers))

    head = box(b"ftyp", b"qt  \0\0\0\0qt  ")
    media = box(b"mdat", bytes(1600))
    entry = box(b"sowt", struct.pack(">6xHHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, 8000 << 16))
    samples = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), entry),
        table(b"stts", 1, 800, 1),
        table(b"stsc", 1, 1, 800, 1),
        table(b"stsz", 2, 800),
        table(b"stco", 1, len(head) + 8),
    )
    handler = box(b"hdlr", struct.pack(">I4s4s12xB", 0, b"mhlr", b"soun", 0))
    inside = box(b"minf", box(b"smhd", bytes(8)), samples)
    media_of_track = box(b"mdia", table(b"mdhd", 0, 0, 8000, 800, 0x55C40000), handler, inside)
    tracks = [
        box(b"trak", box(b"tkhd", struct.pack(">IIIIII60x", 7, 0, 0, number + 1, 0, 800)), media_of_track)
        for number in range(count)
    ]
    return head + media + box(b"moov", box(b"mvhd", struct.pack(">IIIII76xI", 0, 0, 0, 8000, 800, count + 1)), *tracks)


def a_png_bomb() -> bytes:
    """60,000 x 60,000 pixels in a few kilobytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress(b"\0" * 10_000_000, 9)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD: dict[str, tuple[str, bytes, str]] = {
    "zero bytes": ("empty.mp4", b"", "empty"),
    "text": ("notes.mp4", b"just some words\n" * 20, "text"),
    "a playlist in disguise": ("film.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "playlist"),
    "a script of the concat demuxer": ("film.mov", b"ffconcat version 1.0\nfile /etc/passwd\n", "ffconcat"),
    "a session description": (
        "film.avi",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
        "",
    ),
    "noise": ("film.mkv", bytes(range(7, 256)) * 40, ""),
    "a bomb": ("bomb.png", a_png_bomb(), ""),
    "an archive": ("film.zip.mp4", b"PK\x03\x04" + b"\0" * 100, "ZIP"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_media_is_quarantined_in_one_sentence(house: House, tmp_path: Path, name: str) -> None:
    file_name, content, says = BAD[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    state, cause = end_of(house, path)
    assert state == "quarantined", cause
    assert cause
    assert says in cause
    assert "\n" not in cause


def test_a_thousand_and_one_streams_are_too_many(house: House, tmp_path: Path) -> None:
    path = tmp_path / "many.mov"
    path.write_bytes(a_film_of_tracks(2))
    assert end_of(house, path) == ("ready", None)
    path.write_bytes(a_film_of_tracks(STREAMS))
    state, cause = end_of(house, path)
    assert state == "quarantined", cause
    assert cause


def test_a_film_without_streams_is_quarantined(house: House, tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    path.write_bytes(bytes.fromhex("00000018667479706d703432000000006d70343269736f6d") + b"\0\0\0\x08mdat")
    assert end_of(house, path)[0] == "quarantined"


def test_a_truncated_film_is_quarantined_or_whole_as_far_as_it_goes(house: House, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", frames=25)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-200])  # the index is at the end
    state, cause = end_of(house, cut)
    assert state == "quarantined"
    assert cause


def test_the_extension_means_nothing(house: House, tmp_path: Path) -> None:
    assert end_of(house, make_video(tmp_path / "film.mp4", frames=10).rename(tmp_path / "film.txt")) == ("ready", None)


ODD_NAMES = {
    "spaces": "a film  of mine .mp4",
    "quotes": 'it\'s "quoted" `so`.mp4',
    "a line break": "first\nsecond.mp4",
    "another script": "фильм-映画-فيلم-🎬.mp4",
    "255 bytes": "x" * 251 + ".mp4",
    "no text at all": os.fsdecode(b"\xff\xfe\x80.mp4"),
    "a leading dash": "--help.mp4",
    "markup": "[red]film[bold][.mp4",
    "terminal orders": "\x1b[31mfilm\x07.mp4",
    "a template": "{film} %s $(id).mp4",
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    place = tmp_path_factory.mktemp("odd")
    place.chmod(0o755)
    commands = CommandLine(place)
    with commands.kept_warm():
        yield commands


def test_odd_names_are_names(line: CommandLine) -> None:
    folder = line.place / "in"
    folder.mkdir()
    film = make_video(line.place / "film.mp4", frames=5).read_bytes()
    for name in ODD_NAMES.values():
        (folder / name).write_bytes(film)
    said = line("process", "in", "--only", "poster,release", "--json")
    assert said.status == 0, said.err
    found = {Path(entry["path"]).name: entry for entry in said.report["sources"]}
    assert set(found) == set(ODD_NAMES.values())
    assert all(Path(entry["path"]).read_bytes() == film for entry in found.values())
    table = line("status")
    assert table.status == 0
    assert {letter for letter in table.out if not letter.isprintable()} == {"\n", "\t"}
    by_name = line("status", f"in/{ODD_NAMES['a line break']}")
    assert by_name.status == 0
    assert "first\\nsecond.mp4" in by_name.out
    for name in ("a leading dash", "no text at all", "255 bytes"):
        one = line("status", "--json", "--", f"in/{ODD_NAMES[name]}")
        assert one.report["source"] == found[ODD_NAMES[name]]["source"]
        to = line.place / "out" / name
        assert line("get", one.report["source"], "poster", "--to", str(to)).status == 0
        assert list(to.iterdir())


def test_odd_names_on_the_command_line_itself(line: CommandLine) -> None:
    for name in ("--help.mp4", "a b.txt"):
        (line.place / name).write_text("no film")
    said = line("process", "--json", "--", "--help.mp4", "a b.txt")
    assert said.report["counts"] == {"quarantined": 2}


def test_pipes_sockets_and_devices_hang_nobody(line: CommandLine) -> None:
    folder = line.place / "strange"
    folder.mkdir()
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.mp4"))
        (folder / "folder.mp4").mkdir()
        (folder / "lost.mp4").symlink_to(folder / "nowhere")
        assert [Path(seen.location).name for seen in list_folder(folder).files if not seen.is_link] == []
        said = line("process", "strange", "--json")
        assert (said.status, said.report["sources"]) == (0, [])
        assert said.err.count("is not a regular file") == 3
        named = line("process", "strange/pipe.mp4", "strange/socket.mp4", "/dev/zero", "--json")
    assert named.report["counts"] == {"quarantined": 3}
    assert all(
        "not a regular file" in entry["cause"] or "cannot be read" in entry["cause"]
        for entry in named.report["sources"]
    )


def test_a_sidecar_that_is_a_pipe_hangs_nobody(house: House, tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=5)
    os.mkfifo(tmp_path / "film.mp4.sourcebound.json")
    (registration,) = take_in(house, film)
    state, cause = settled(house, registration)
    assert state == "quarantined"
    assert "is not a regular file" in str(cause)


UNREADABLE = """
import os, sys
from pathlib import Path
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
from resources.intake import look
from media_assets.declared import declared
from media_assets.plain import door_of
from resources.settings import load_settings
print(look(Path(sys.argv[1]), load_settings(), door_of(declared())).refusal)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read the file")
def test_an_unreadable_file_says_who_must_do_what(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=5)
    film.chmod(0o600)
    for folder in [*list(tmp_path.parents)[:3], tmp_path]:
        folder.chmod(folder.stat().st_mode | 0o011)
    code = f"import sys; sys.path[:] = {sys.path!r}\n"
    code += "import resources.intake, media_assets.declared, media_assets.plain, resources.settings\n"
    code += "media_assets.declared.declared()\n"
    done = subprocess.run(
        [sys.executable, "-c", code + UNREADABLE.format(nobody=NOBODY), str(film)],
        capture_output=True,
        check=False,
        cwd="/",
    )
    assert done.stdout.decode().strip() == (
        "film.mp4 may not be read by this user; grant read access, then retry the source"
    ), done.stderr.decode()


def test_an_unreadable_file_becomes_readable_and_goes_on(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_video(tmp_path / "film.mp4", frames=5)
    with monkeypatch.context() as closed:
        closed.setattr(intake, "_read", _refusing)
        (refused,) = take_in(house, film)
        state, cause = settled(house, refused)
    assert state == "quarantined"
    assert "grant read access" in str(cause)
    (registration,) = take_in(house, film)
    assert registration.supersedes == refused.source_key
    assert settled(house, registration) == ("ready", None)


def _refusing(path: Path) -> tuple[str, str | None, str | None]:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_file_that_grows_while_it_is_read_is_taken_in_anew_when_it_stands_still(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_video(tmp_path / "film.mp4", frames=5)
    hashed: Callable[..., str] = intake._sha256

    def growing(file: object) -> str:
        digest = hashed(file)
        with film.open("ab") as more:
            more.write(b"more")
        return digest

    with monkeypatch.context() as busy:
        busy.setattr(intake, "_sha256", growing)
        (moving,) = take_in(house, film)
    state, cause = settled(house, moving)
    assert (state, cause) == ("quarantined", "film.mp4 was written to while it was read; retry it when it stands still")
    known = house.ledger.known_files(str(tmp_path))[str(film)]
    assert (known.size_bytes, known.mtime_ns) != (
        film.stat().st_size,
        film.stat().st_mtime_ns,
    )  # the sensor looks again
    (still,) = take_in(house, film)
    assert still.supersedes == moving.source_key
    assert settled(house, still) == ("ready", None)


def test_a_file_that_vanishes_after_it_was_seen(house: House, tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=5)
    content = film.read_bytes()
    (registration,) = take_in(house, film)
    film.unlink()
    assert take_in(house, film) == []
    state, cause = settled(house, registration)
    assert (state, cause) == (
        "quarantined",
        "film.mp4 is no longer where it was found; put it back, then retry the source",
    )
    film.write_bytes(content)
    (again,) = take_in(house, film)
    assert again.source_key == registration.source_key
    make(house, again)
    assert source_entry(house.ledger, house.store, house.ledger.source(again.source_key))["state"] == "ready"


def test_one_bad_file_does_not_stop_the_next(line: CommandLine) -> None:
    folder = line.place / "mixed"
    folder.mkdir()
    for name in ("zero bytes", "noise", "a playlist in disguise"):
        file_name, content, _ = BAD[name]
        (folder / f"a-{file_name}").write_bytes(content)
    make_video(folder / "b-good.mp4", frames=5)
    said = line("process", "mixed", "--only", "media_info", "--json")
    assert said.status == 3
    assert said.report["counts"] == {"quarantined": 3, "ready": 1}
    assert all(entry["cause"] for entry in said.report["sources"] if entry["state"] == "quarantined")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_waits_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        commands = CommandLine(disk)
        film = make_video(tmp_path / "film.mp4", frames=400, width=640, height=480)
        assert commands("status").status == 0
        for room in (4_000_000, 1_500_000):
            fill = disk / "fill"
            with fill.open("wb") as file:
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                os.posix_fallocate(file.fileno(), 0, free - room)
            said = commands("process", str(film), "--json")
            assert said.status == 3, said.err
            (entry,) = said.report["sources"]
            assert entry["state"] == "waiting"
            assert "the disk is full" in entry["cause"]
            fill.unlink()
        assert commands("process", str(film)).status == 0
        assert commands("verify").status == 0
        staging = [
            *(disk / "home" / "store" / "staging").iterdir(),
            *(disk / "home" / "originals" / "incoming").iterdir(),
        ]
        assert staging == []
    finally:
        subprocess.run(["umount", disk], check=False)


@pytest.mark.slow
def test_a_database_that_is_killed_while_files_are_made_comes_back(tmp_path: Path) -> None:
    commands = CommandLine(tmp_path)
    tmp_path.chmod(0o755)
    film = make_video(tmp_path / "film.mp4", frames=900, width=640, height=480, audio_rate_hz=48000)
    with commands.kept_warm() as session:
        killed: list[int] = []

        def kill() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if any(
                    row.state is AssetState.RUNNING and name == "chunks"
                    for source in session.ledger.sources()
                    for name, row in session.ledger.states(source.key).items()
                ):
                    break
                time.sleep(0.05)
            place = EmbeddedPostgres(commands.home).describe()
            pid = int((Path(place["data"]) / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 9)
            killed.append(pid)

        killer = threading.Thread(target=kill)
        killer.start()
        said = commands("process", str(film), "--json")
        killer.join()
        assert killed
        assert said.status == 0, said.err
        assert said.report["counts"] == {"ready": 1}
        assert commands("verify").status == 0
