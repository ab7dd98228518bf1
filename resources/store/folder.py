"""A store in a local folder: the commit is one rename of a folder that is already complete and on the disk.

Belongs here: what the folder's layout is and in which order things reach the disk. Does not belong here: whether an
artifact may be published (store). Layout: `artifacts/<asset>/<recipe_hash>/` holds the files and `manifest.json`;
`staging/` holds what is not published yet. docs/decisions/store-commit.md says why this is not done through obstore.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processing.manifest import HASH_BLOCK_BYTES, FileEntry, Manifest, list_files
from resources.store.backend import MANIFEST, Backend

READ_ONLY = 0o444  # nobody changes a published file by accident
FOLDER_MODE = 0o755
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST})


class FolderBackend(Backend):
    """Artifacts below `root`. Readers and makers on one machine, or several over a file system with atomic rename."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._artifacts = root / "artifacts"
        self.staging_root = root / "staging"
        self._repair_lock = root / ".repair.lock"

    def stamp(self, asset: str, recipe_hash: str) -> int | None:
        try:
            found = os.stat(self._place(asset, recipe_hash) / MANIFEST)  # noqa: PTH116  twice as fast as Path.stat
        except FileNotFoundError:
            return None
        return found.st_ino ^ found.st_mtime_ns

    def read_manifest(self, asset: str, recipe_hash: str) -> bytes | None:
        try:
            return (self._place(asset, recipe_hash) / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None

    def seal(self, folder: Path) -> tuple[FileEntry, ...]:
        entries = []
        for path, kind in _walk(folder):
            if stat.S_ISDIR(kind):
                path.chmod(FOLDER_MODE)
            elif stat.S_ISREG(kind):
                entries.append(_seal_file(path, path.relative_to(folder).as_posix()))
            else:
                raise ValueError(f"{path.name} is neither a file nor a folder")
        return tuple(sorted(entries, key=lambda entry: entry.path))

    def commit(self, manifest: Manifest, document: bytes, folder: Path) -> bool:
        _write_synced(folder / MANIFEST, document)
        folder.chmod(FOLDER_MODE)
        final = self._place(manifest.asset, manifest.recipe_hash)
        if not final.parent.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True)
            sync(self._artifacts)
        if not _renamed(folder, final) and not self._renamed_over_leftover(folder, final):
            return False
        sync(final.parent)
        return True

    def uri(self, manifest: Manifest) -> str:
        return self._place(manifest.asset, manifest.recipe_hash).as_uri()

    def folder(self, manifest: Manifest) -> Path | None:
        return self._place(manifest.asset, manifest.recipe_hash)

    def fetch(self, manifest: Manifest, into: Path) -> None:
        place = self._place(manifest.asset, manifest.recipe_hash)
        for entry in manifest.files:
            target = into / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place / entry.path, target)

    def stored_files(self, manifest: Manifest) -> Iterator[FileEntry]:
        for entry in list_files(self._place(manifest.asset, manifest.recipe_hash)):
            if entry.path != MANIFEST:
                yield entry

    def remove(self, asset: str, recipe_hash: str) -> None:
        place = self._place(asset, recipe_hash)
        (place / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)

    def committed(self) -> Iterator[tuple[str, str]]:
        for document in self._artifacts.glob(f"*/*/{MANIFEST}"):
            yield document.parent.parent.name, document.parent.name

    def _place(self, asset: str, recipe_hash: str) -> Path:
        return self._artifacts / asset / recipe_hash

    def _renamed_over_leftover(self, folder: Path, final: Path) -> bool:
        """Move `folder` to a place that is not empty, if what lies there has no manifest.

        This store never leaves such a thing; a copy that was broken off or a removal that was killed does. The lock
        matters: without it two makers could both see the leftover, and the second would move the first one's
        artifact away. Nobody else ever empties the place, so what has no manifest under the lock is a leftover.
        """
        with self._repairing():
            if (final / MANIFEST).exists():
                return False
            aside = folder.with_name(f"{folder.name}.leftover")
            final.rename(aside)
            renamed = _renamed(folder, final)
        shutil.rmtree(aside, ignore_errors=True)
        return renamed

    @contextmanager
    def _repairing(self) -> Iterator[None]:
        with self._repair_lock.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _renamed(folder: Path, final: Path) -> bool:
    """Whether `folder` could be renamed to `final`, which must be absent or empty (rename(2))."""
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Everything below `folder` with its mode, links not followed, contents before the folder they are in."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
        yield path, entry.stat(follow_symlinks=False).st_mode


def _seal_file(path: Path, relative: str) -> FileEntry:
    """Hash one file, make it read-only and wait until it is on the disk."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
        os.fchmod(file.fileno(), READ_ONLY)
        os.fsync(file.fileno())
    return FileEntry(relative, size, digest.hexdigest())


def _write_synced(path: Path, document: bytes) -> None:
    with path.open("xb", buffering=0) as file:
        file.write(document)
        os.fchmod(file.fileno(), READ_ONLY)
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
