"""What people link to: `published/<source>/`, whose names are stable and which is always one consistent release.

Belongs here: laying a release out and switching to it. Does not belong here: what a release consists of
(processing/release decides it, as facts of the release's manifest):

    {"links": {name: {"asset": ..., "recipe_hash": ..., "path": ...}}, "texts": [path, ...]}

A link is a name for a file or folder of another artifact (an empty path means all of its files); a text is a file of
the release's own artifact. In a local folder a version is immutable and the source's name is a symbolic link that is
replaced in one rename. A bucket has neither links nor rename: see `PublishedBucket`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import obstore
from obstore.store import S3Store

from processing.failures import ContractBroken
from processing.manifest import FileEntry, Manifest
from resources.store.bucket import open_bucket
from resources.store.links import below, linked, linked_files
from resources.store.store import Store
from resources.store.troubles import translated

POINTER = "index.json"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Published(ABC):
    """The place people link to."""

    @abstractmethod
    def switch(self, source: str, release: Manifest) -> str:
        """Publish `release` for the source, whole, and return the stable address. The same release again does nothing.

        Raises `ContractBroken` for a link to an artifact that is not in the store, `Transient` for disk and network.
        """

    @abstractmethod
    def exists(self, source: str) -> bool:
        """Whether the source has something published."""

    @abstractmethod
    def shows(self, source: str, release: Manifest) -> bool:
        """Whether `release` is what is published of the source, and no name of it is missing."""

    @abstractmethod
    def remove(self, source: str) -> None:
        """Take back all that is published of the source."""

    @abstractmethod
    def copy_out(self, source: str, to: Path) -> int:
        """Write the current release below `to`, links resolved, and return the number of files.

        Raises FileNotFoundError when nothing is published.
        """


class PublishedFolder(Published):
    """Published sources as folders below `root`; files of artifacts are links into the store, not copies."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root.absolute()
        self._store = store

    def switch(self, source: str, release: Manifest) -> str:
        stable = self._stable(source)
        version = self._versions(source) / _version(release)
        with translated(f"publishing {source}"), self._switching():
            self._drop_strays()
            if not self._is_whole(version, release):
                partial = version.with_name(f"{version.name}.{secrets.token_hex(4)}")
                partial.mkdir(parents=True)
                try:
                    self._lay_out(release, partial, version)
                    if version.exists():  # with names missing, whoever took them
                        shutil.rmtree(version)
                    partial.rename(version)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
            previous = stable.resolve() if stable.is_symlink() else None
            pointer = stable.with_name(f".{source}.{secrets.token_hex(4)}")
            pointer.symlink_to(version.relative_to(self.root), target_is_directory=True)
            pointer.replace(stable)
            self._prune(source, {version.name, previous.name if previous else version.name})
        return stable.as_uri()

    def exists(self, source: str) -> bool:
        return self._stable(source).exists()

    def shows(self, source: str, release: Manifest) -> bool:
        version = self._versions(source) / _version(release)
        return self._stable(source).resolve() == version.resolve() and self._is_whole(version, release)

    def remove(self, source: str) -> None:
        with translated(f"taking back {source}"), self._switching():
            self._stable(source).unlink(missing_ok=True)
            shutil.rmtree(self._versions(source), ignore_errors=True)

    def copy_out(self, source: str, to: Path) -> int:
        version = self._stable(source).resolve(strict=True)  # one version, also when it is switched meanwhile
        copied = []

        def copy(file: str, target: str) -> None:
            copied.append(shutil.copyfile(file, target))  # without the read-only mode of published files

        try:
            with translated(f"copying {source}"):
                shutil.copytree(version, to, copy_function=copy, dirs_exist_ok=True)
        except shutil.Error as error:
            raise ContractBroken(
                f"{len(error.args[0])} published files of {source} could not be copied",
                cure=f"`sourcebound verify {source}` says what is damaged, `sourcebound retry {source}` makes it again",
            ) from None
        return len(copied)

    def _is_whole(self, version: Path, release: Manifest) -> bool:
        return version.is_dir() and all((version / name).exists() for name, _ in names_of(self._store, release))

    def _stable(self, source: str) -> Path:
        return self.root / _checked_key(source)

    def _versions(self, source: str) -> Path:
        return self.root / ".versions" / _checked_key(source)

    def _lay_out(self, release: Manifest, folder: Path, final: Path) -> None:
        own = self._store.as_input(release, release.asset)
        for text in release.facts.get("texts", ()):
            target = folder / _checked_name(text)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own.path(text), target)
        for name, link in release.facts.get("links", {}).items():
            made = linked(self._store, link)
            artifact = self._store.folder(made)
            for entry, relative in below(made, link["path"]):
                inside = _checked_name(f"{name}/{relative}" if relative else name)
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                if artifact is None:  # in a bucket: copied, for what the cache holds may go
                    shutil.copyfile(self._store.as_input(made, made.asset).path(entry.path), target)
                else:
                    target.symlink_to(os.path.relpath(artifact / entry.path, (final / inside).parent))

    def _drop_strays(self) -> None:
        """Remove pointers that somebody made and was killed before he could put them into place."""
        for stray in self.root.glob(".*.*"):
            if stray.is_symlink():
                stray.unlink()

    def _prune(self, source: str, keep: set[str]) -> None:
        for version in self._versions(source).iterdir():
            if version.name not in keep:
                shutil.rmtree(version, ignore_errors=True)

    @contextmanager
    def _switching(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".switch.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class PublishedBucket(Published):
    """Published sources in a bucket: `published/<source>/<version>/...` complete, then `published/<source>/index.json`.

    The pointer is the one stable name: `{"version": ..., "base": "<version>/", "files": [...]}`. Files of artifacts are
    copied by the server, for a bucket has no links.
    """

    def __init__(self, bucket: str, prefix: str, store: Store, options: Mapping[str, str] | None = None) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._store = store
        self._options = dict(options or {})

    @property
    def _objects(self) -> S3Store:
        return open_bucket(self._bucket, "", self._options)

    def switch(self, source: str, release: Manifest) -> str:
        home = self._home(source)
        version = _version(release)
        with translated(f"publishing {source}"):
            previous = self._pointer(source)
            if not self._is_whole(source, release, previous):
                names = [
                    *self._put_texts(release, f"{home}/{version}"),
                    *self._copy_links(release, f"{home}/{version}"),
                ]
                pointer = {"version": version, "base": f"{version}/", "files": sorted(names)}
                obstore.put(self._objects, f"{home}/{POINTER}", json.dumps(pointer, sort_keys=True).encode())
                self._prune(home, {version, previous["version"] if previous else version})
        return f"s3://{self._bucket}/{home}/{POINTER}"

    def exists(self, source: str) -> bool:
        with translated(f"looking for {source}"):
            return self._pointer(source) is not None

    def shows(self, source: str, release: Manifest) -> bool:
        with translated(f"looking for {source}"):
            return self._is_whole(source, release, self._pointer(source))

    def remove(self, source: str) -> None:
        home = self._home(source)
        with translated(f"taking back {source}"):
            obstore.delete(self._objects, f"{home}/{POINTER}")
            self._prune(home, set())

    def copy_out(self, source: str, to: Path) -> int:
        home = self._home(source)
        with translated(f"copying {source}"):
            pointer = self._pointer(source)
        if pointer is None:
            raise FileNotFoundError(f"{source} has nothing published")
        with translated(f"copying {source}"):
            for name in pointer["files"]:
                target = to / _checked_name(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    for block in obstore.get(self._objects, f"{home}/{pointer['base']}{name}").stream():
                        file.write(block)
        return len(pointer["files"])

    def _is_whole(self, source: str, release: Manifest, pointer: Mapping[str, Any] | None) -> bool:
        if pointer is None or pointer["version"] != _version(release):
            return False
        names = {name for name, _ in names_of(self._store, release)}
        base = f"{self._home(source)}/{pointer['base']}"
        there = {item["path"].removeprefix(base) for page in obstore.list(self._objects, base) for item in page}
        return set(pointer["files"]) == names and names <= there

    def _home(self, source: str) -> str:
        return "/".join(part for part in (self._prefix, "published", _checked_key(source)) if part)

    def _pointer(self, source: str) -> dict[str, Any] | None:
        try:
            found = obstore.get(self._objects, f"{self._home(source)}/{POINTER}").bytes()
        except FileNotFoundError:
            return None
        pointer: dict[str, Any] = json.loads(bytes(found))
        return pointer

    def _put_texts(self, release: Manifest, base: str) -> Iterator[str]:
        own = self._store.as_input(release, release.asset)
        for text in release.facts.get("texts", ()):
            obstore.put(self._objects, f"{base}/{_checked_name(text)}", own.path(text))
            yield text

    def _copy_links(self, release: Manifest, base: str) -> Iterator[str]:
        for name, link in release.facts.get("links", {}).items():
            made = linked(self._store, link)
            artifact = self._store.uri(made).removeprefix(f"s3://{self._bucket}/")
            for entry, relative in below(made, link["path"]):
                target = _checked_name(f"{name}/{relative}" if relative else name)
                obstore.copy(self._objects, f"{artifact}/{entry.path}", f"{base}/{target}")
                yield target

    def _prune(self, home: str, keep: set[str]) -> None:
        kept = tuple(f"{home}/{version}/" for version in keep)
        found = [item["path"] for page in obstore.list(self._objects, home) for item in page]
        if gone := [key for key in found if not key.startswith(kept) and key != f"{home}/{POINTER}"]:
            obstore.delete(self._objects, gone)


def names_of(store: Store, release: Manifest) -> Iterator[tuple[str, FileEntry]]:
    """Every name of a release, and the file that is found under it. Raises `ContractBroken` as `switch` does."""
    texts = set(release.facts.get("texts", ()))
    yield from ((entry.path, entry) for entry in release.files if entry.path in texts)
    yield from ((name, entry) for name, _, entry in linked_files(store, release))


def _version(release: Manifest) -> str:
    return f"{release.recipe_hash[:16]}-{release.data_version[:16]}"


def _checked_key(source: str) -> str:
    """The source key, if it is one. Raises ValueError: a key never leads out of the published folder."""
    if not _KEY.fullmatch(source):
        raise ValueError(f"{source!r} is not the key of a source")
    return source


def _checked_name(name: str) -> str:
    """A name inside a release. Raises ValueError for one that is absolute or leads upwards."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{name!r} is not a name inside a release")
    return name
