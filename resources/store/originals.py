"""The originals, kept by content: a copy (sharing blocks where the file system can) or a reference to where it lies.

Belongs here: taking a file in without ever touching it, and proving that it is what arrived. Does not belong here:
noticing files (sensors) or what they are (processing/probe).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from processing.failures import BadInput, Transient
from processing.manifest import HASH_BLOCK_BYTES
from resources.identity import Identity
from resources.store.folder import READ_ONLY, sync
from resources.store.staging import new_staging, sweep
from resources.store.troubles import disk_trouble

Mode = Literal["copy", "reference"]

SEALED_NS = 10**18  # the time of change of every copy, a day in 2001: whoever writes to one changes it
FICLONE = 0x40049409  # ioctl_ficlone(2): share the blocks of another file; btrfs and XFS can
_NEVER_READABLE = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes whenever a file is written to."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Stamp:
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class Originals:
    """Originals below `root`: `<first two hex>/<sha256>` is the copy, or a link to the file it refers to."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._incoming = self.root / "incoming"

    def original(self, sha256: str) -> Path:
        """Where the original with this content is, or would be: absolute, the last part is the sha256."""
        return self.root / sha256[:2] / sha256

    def keep(self, path: Path, sha256: str, mode: Mode = "copy") -> Path:
        """Take `path` in, if this content is not kept yet, and return `original(sha256)`.

        Costs one stat when it is kept already. Raises `BadInput` when the file is gone, may not be read, or no longer
        has this content (also when it changes while it is read); `Transient` for a full or broken disk.
        """
        kept = self.original(sha256)
        if kept.is_symlink():
            self._require_unchanged(kept, path, sha256)
        elif not (kept.exists() and self._is_untouched(kept, sha256)):
            self.renew(path, sha256, mode)
        return kept

    def renew(self, path: Path, sha256: str, mode: Mode = "copy") -> None:
        """Take `path` in whether this content is kept or not: what is kept may be damaged. Raises as `keep` does."""
        kept = self.original(sha256)
        if mode == "reference":
            self._refer(kept, path, sha256)
        else:
            self._copy(kept, path, sha256)

    def _is_untouched(self, kept: Path, sha256: str) -> bool:
        """Whether nobody wrote to a copy since it was made; one with another time of change is hashed to find out."""
        if kept.stat().st_mtime_ns == SEALED_NS:
            return True
        if not self.is_intact(sha256):
            return False
        os.utime(kept, ns=(SEALED_NS, SEALED_NS))
        return True

    def is_intact(self, sha256: str) -> bool:
        """Whether the kept original is there and its bytes, read now, are still those. Raises `Transient`."""
        try:
            with self.original(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_trouble(error, "reading an original") from error

    def remove(self, sha256: str) -> None:
        """Forget this content; a file that is only referred to is not touched."""
        self.original(sha256).unlink(missing_ok=True)
        _note_of(self.original(sha256)).unlink(missing_ok=True)

    def sweep(self, is_alive: Callable[[str], bool]) -> int:
        """Remove what killed processes left half copied, and return how many there were."""
        return sweep(self._incoming, is_alive)

    def _copy(self, kept: Path, path: Path, sha256: str) -> None:
        source = _opened(path)
        try:
            before = _Stamp.of(os.fstat(source))
            try:
                with new_staging(self._incoming, "original", Identity.current().to_text()) as staging:
                    copy = staging.folder / sha256
                    digest = _clone_or_copy(source, copy, path)
                    _require_same(path, sha256, digest, before, _Stamp.of(os.fstat(source)))
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    copy.replace(kept)  # another maker's copy has the same bytes
                    sync(kept.parent)
            except OSError as error:
                raise disk_trouble(error, f"keeping a copy of {path.name}") from error
        finally:
            os.close(source)

    def _refer(self, kept: Path, path: Path, sha256: str) -> None:
        source = _opened(path)
        try:
            before = _Stamp.of(os.fstat(source))
            digest = _hash_of(source, path)
            _require_same(path, sha256, digest, before, _Stamp.of(os.fstat(source)))
        finally:
            os.close(source)
        try:
            with new_staging(self._incoming, "reference", Identity.current().to_text()) as staging:
                link, note = staging.folder / "link", staging.folder / "note"
                link.symlink_to(path.absolute())
                note.write_text(
                    json.dumps({"size": before.size_bytes, "mtime_ns": before.mtime_ns, "inode": before.inode})
                )
                kept.parent.mkdir(parents=True, exist_ok=True)
                note.replace(_note_of(kept))
                link.replace(kept)
        except OSError as error:
            raise disk_trouble(error, f"noting where {path.name} lies") from error

    def _require_unchanged(self, kept: Path, path: Path, sha256: str) -> None:
        """A referred file is hashed again when its size, time or inode is not what was noted, or it is gone."""
        with suppress(OSError, ValueError, KeyError):
            noted = json.loads(_note_of(kept).read_text())
            if _Stamp.of(kept.stat()) == _Stamp(noted["size"], noted["mtime_ns"], noted["inode"]):
                return
        self._refer(kept, path, sha256)


def _note_of(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.reference.json")


def _opened(path: Path) -> int:
    """A descriptor for reading a regular file; never waits for the other end of a pipe."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise BadInput(f"{path.name} is not a regular file", cure="put the file itself into the inbox")
    return source


def _clone_or_copy(source: int, copy: Path, path: Path) -> str:
    """Write `copy`, read-only and on the disk, and return the sha256 of its bytes."""
    with copy.open("xb", buffering=0) as target:
        try:
            fcntl.ioctl(target.fileno(), FICLONE, source)
        except OSError:
            digest = _copy_blocks(source, target.fileno(), path)
        else:
            digest = _hash_cloned(copy)
        os.fchmod(target.fileno(), READ_ONLY)
        os.utime(target.fileno(), ns=(SEALED_NS, SEALED_NS))
        os.fsync(target.fileno())
    return digest


def _hash_cloned(copy: Path) -> str:
    with copy.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_blocks(source: int, target: int, path: Path) -> str:
    digest = hashlib.sha256()
    while block := _read(source, path):
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
    return digest.hexdigest()


def _hash_of(source: int, path: Path) -> str:
    digest = hashlib.sha256()
    while block := _read(source, path):
        digest.update(block)
    return digest.hexdigest()


def _read(source: int, path: Path) -> bytes:
    """The next block. What fails here is the source's trouble, not that of the disk written to."""
    try:
        return os.read(source, HASH_BLOCK_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _require_same(path: Path, sha256: str, digest: str, before: _Stamp, after: _Stamp) -> None:
    if before != after:
        raise BadInput(
            f"{path.name} was written to while it was read",
            cure="when it stands still it arrives as a source of its own; nothing to do here",
        )
    if digest != sha256:
        raise BadInput(
            f"{path.name} has other bytes than when it arrived",
            cure="its new version arrives as a source of its own; put the old bytes back to retry this one",
        )


def _unreadable(path: Path, error: OSError) -> BadInput | Transient:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return BadInput(f"{path.name} is no longer where it was found", cure="put it back, then retry the source")
    if error.errno in _NEVER_READABLE:
        return BadInput(f"{path.name} may not be read by this user", cure="grant read access, then retry the source")
    return disk_trouble(error, f"reading {path.name}")
