"""Originals: kept by content, never altered, and refused when they are not what arrived."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processing.failures import BadInput, Transient
from resources.store import originals as originals_module
from resources.store.originals import Mode, Originals

CONTENT = b"moving picture " * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MODES: tuple[Mode, ...] = ("copy", "reference")


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    return Originals(tmp_path / "home" / "originals")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "inbox" / "a clip's name\n.mp4"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def while_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Run `act` once, after the first block of a source was read."""
    read = os.read
    pending = [act]

    def reading(descriptor: int, size: int) -> bytes:
        block = read(descriptor, size)
        while pending:
            pending.pop()()
        return block

    monkeypatch.setattr(os, "read", reading)


@pytest.mark.parametrize("mode", MODES)
def test_an_original_is_kept_under_its_content_and_the_upload_stays_as_it_was(
    originals: Originals, upload: Path, mode: Mode
) -> None:
    before = upload.stat()
    kept = originals.keep(upload, SHA256, mode)
    assert kept == originals.original(SHA256)
    assert kept.is_absolute()
    assert kept.name == SHA256
    assert kept.read_bytes() == CONTENT
    assert originals.is_intact(SHA256)
    after = upload.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_size) == (before.st_mtime_ns, before.st_mode, before.st_size)
    assert list((originals.root / "incoming").iterdir()) == []


def test_a_copy_is_read_only_and_survives_the_upload(originals: Originals, upload: Path) -> None:
    kept = originals.keep(upload, SHA256)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o444
    upload.unlink()
    assert originals.keep(upload, SHA256).read_bytes() == CONTENT


def test_a_second_upload_with_the_same_bytes_is_not_read_again(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = originals.keep(upload, SHA256)
    monkeypatch.setattr(originals_module, "_opened", lambda path: pytest.fail(f"{path} was opened"))
    assert originals.keep(upload.with_name("another name.mp4"), SHA256) == first


def test_a_reference_costs_no_second_copy_and_is_not_read_again_while_nothing_changed(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = originals.keep(upload, SHA256, "reference")
    assert kept.resolve() == upload.resolve()
    monkeypatch.setattr(originals_module, "_opened", lambda path: pytest.fail(f"{path} was opened"))
    assert originals.keep(upload, SHA256, "reference") == kept


def test_a_referred_file_that_was_written_to_later_is_refused(originals: Originals, upload: Path) -> None:
    originals.keep(upload, SHA256, "reference")
    upload.write_bytes(CONTENT + b"more")
    with pytest.raises(BadInput, match="other bytes"):
        originals.keep(upload, SHA256, "reference")


def test_a_reference_follows_to_another_place_with_the_same_content(originals: Originals, upload: Path) -> None:
    originals.keep(upload, SHA256, "reference")
    moved = upload.rename(upload.with_name("moved.mp4"))
    assert originals.keep(moved, SHA256, "reference").resolve() == moved.resolve()


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_grows_while_it_is_read_is_not_kept(
    originals: Originals, upload: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow() -> None:
        with upload.open("ab") as file:
            file.write(b"more")

    while_reading(monkeypatch, grow)
    with pytest.raises(BadInput, match="while it was read") as refused:
        originals.keep(upload, SHA256, mode)
    assert "arrives as a source of its own" in refused.value.cure
    assert not originals.original(SHA256).exists()
    assert list((originals.root / "incoming").glob("*")) == []


def test_a_file_that_vanishes_while_it_is_read_is_kept_all_the_same(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptor holds it: nothing is lost by taking it in."""
    while_reading(monkeypatch, upload.unlink)
    assert originals.keep(upload, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_is_gone_is_bad_input_with_a_cure(originals: Originals, upload: Path, mode: Mode) -> None:
    upload.unlink()
    with pytest.raises(BadInput, match="no longer where it was found") as refused:
        originals.keep(upload, SHA256, mode)
    assert "put it back" in refused.value.cure
    assert "\n" not in refused.value.sentence


@pytest.mark.parametrize("mode", MODES)
def test_other_bytes_than_arrived_are_refused(originals: Originals, upload: Path, mode: Mode) -> None:
    with pytest.raises(BadInput, match="other bytes"):
        originals.keep(upload, "0" * 64, mode)
    assert not originals.original("0" * 64).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_bad_input(originals: Originals, upload: Path) -> None:
    upload.chmod(0)
    with pytest.raises(BadInput, match="may not be read"):
        originals.keep(upload, SHA256)


def test_a_file_whose_permission_is_refused_is_bad_input(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadInput, match="may not be read") as refused:
        originals.keep(upload, SHA256)
    assert "grant read access" in refused.value.cure


def test_a_pipe_with_a_media_name_does_not_hang(originals: Originals, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(BadInput, match="not a regular file"):
        originals.keep(tmp_path / "clip.mp4", SHA256)


def test_a_disk_that_breaks_under_the_upload_is_not_the_files_fault(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(Transient, match="failed on the disk"):
        originals.keep(upload, SHA256)


def test_a_full_disk_keeps_nothing_and_says_what_to_do(upload: Path, tmp_path: Path) -> None:
    """On a real file system of one megabyte where this user may mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mount = shutil.which("mount")
    mounted = (
        mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False).returncode == 0
    )
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    try:
        originals = Originals(small / "originals")
        with pytest.raises(Transient, match="disk is full") as failed:
            originals.keep(upload, SHA256)
        assert "free space" in failed.value.cure
        assert [path for path in small.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_disk_that_was_full_keeps_the_original_at_the_next_try(
    originals: Originals, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full half-way: the next try, with room, keeps it."""
    write = os.write

    def full(descriptor: int, block: Any) -> int:
        monkeypatch.setattr(os, "write", write)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Transient, match="disk is full"):
        originals.keep(upload, SHA256)
    assert originals.keep(upload, SHA256).read_bytes() == CONTENT


def test_makers_that_keep_one_original_at_once_all_get_it(originals: Originals, upload: Path) -> None:
    failures: list[BaseException] = []

    def keep() -> None:
        try:
            assert originals.keep(upload, SHA256).read_bytes() == CONTENT
        except BaseException as error:  # noqa: BLE001  a thread hands its failure over
            failures.append(error)

    makers = [threading.Thread(target=keep) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert failures == []


def test_what_a_killed_process_left_half_copied_is_swept(originals: Originals) -> None:
    leftover = originals.root / "incoming" / "dead%20owner--original--1234" / "work"
    leftover.mkdir(parents=True)
    (leftover / SHA256).write_bytes(CONTENT[:100])
    assert originals.sweep(lambda owner: owner != "dead owner") == 1
    assert list((originals.root / "incoming").iterdir()) == []


def test_damage_to_a_kept_original_is_noticed(originals: Originals, upload: Path) -> None:
    kept = originals.keep(upload, SHA256)
    kept.chmod(0o644)
    kept.write_bytes(CONTENT[:-1] + b"?")
    assert not originals.is_intact(SHA256)
    originals.remove(SHA256)
    assert not originals.is_intact(SHA256)


def test_a_kept_original_that_was_written_to_is_taken_in_anew(originals: Originals, upload: Path) -> None:
    """Outputs were made of the damaged bytes, and said to be of the good ones."""
    kept = originals.keep(upload, SHA256)
    kept.chmod(0o644)
    with kept.open("r+b") as file:
        file.write(b"MOVING")
    assert originals.keep(upload, SHA256).read_bytes() == CONTENT
    with kept.open("r+b") as file:
        file.write(b"MOVING")
    upload.unlink()
    with pytest.raises(BadInput, match="no longer where it was found"):
        originals.keep(upload, SHA256)


def test_a_kept_original_that_was_only_touched_stays(originals: Originals, upload: Path) -> None:
    kept = originals.keep(upload, SHA256)
    inode = kept.stat().st_ino
    os.utime(kept)
    upload.unlink()
    assert originals.keep(upload, SHA256).stat().st_ino == inode


def test_forgetting_a_reference_leaves_the_upload(originals: Originals, upload: Path) -> None:
    originals.keep(upload, SHA256, "reference")
    originals.remove(SHA256)
    assert upload.read_bytes() == CONTENT
    assert list(originals.original(SHA256).parent.iterdir()) == []
