"""The port between the store and the place where its bytes lie.

Belongs here: what such a place must promise. Does not belong here: what an artifact is or whether it may be published
(store), nor the places themselves (folder, bucket). Every implementation joins tests/test_store_conformance.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from processing.manifest import FileEntry, Manifest

MANIFEST = "manifest.json"


class CannotSign(ValueError):
    """The store gives no signed addresses; the text is a sentence."""


class Backend(ABC):
    """A place for immutable artifacts, addressed by asset and recipe hash.

    The one promise all else stands on: `commit` makes an artifact visible whole or not at all, and only the first of
    any number of competing commits under one recipe hash. Methods raise OSError or obstore's errors; the store
    translates them.
    """

    staging_root: Path

    @abstractmethod
    def stamp(self, asset: str, recipe_hash: str) -> int | None:
        """A number that changes when the artifact is replaced, None when it is known to be absent. Must be cheap."""

    @abstractmethod
    def read_manifest(self, asset: str, recipe_hash: str) -> bytes | None:
        """The bytes of the manifest, or None: then there is no such artifact."""

    @abstractmethod
    def seal(self, folder: Path) -> tuple[FileEntry, ...]:
        """Hash every file of a staged folder, sorted by path, ready for `commit`.

        Raises ValueError for what is neither a regular file nor a folder.
        """

    @abstractmethod
    def commit(self, manifest: Manifest, document: bytes, folder: Path) -> bool:
        """Publish the sealed `folder` with `document` as its manifest. False when another artifact was there first.

        `folder` belongs to the backend afterwards and may be gone.
        """

    @abstractmethod
    def uri(self, manifest: Manifest) -> str:
        """The address under which the artifact's files lie, each at `<uri>/<path>`."""

    @abstractmethod
    def folder(self, manifest: Manifest) -> Path | None:
        """The local folder the files lie in, or None where they are not on this machine's disks."""

    @abstractmethod
    def fetch(self, manifest: Manifest, into: Path) -> None:
        """Write the artifact's files below the existing folder `into`."""

    @abstractmethod
    def stored_files(self, manifest: Manifest) -> Iterator[FileEntry]:
        """Every file that really lies at the artifact's address, hashed now from its stored bytes."""

    @abstractmethod
    def remove(self, asset: str, recipe_hash: str) -> None:
        """Remove the artifact, manifest first, so that nobody finds it half gone."""

    def sign(self, manifest: Manifest, path: str, for_s: int) -> str:
        """An address by which whoever has it reads one file for so many seconds. Raises `CannotSign`."""
        raise CannotSign("a store on a disk has no addresses that could be signed")

    def share(self, name: str, content: bytes, kind: str, for_s: int) -> str:
        """Put an object of that media type beside the artifacts, replacing one of that name; its signed address.

        Raises `CannotSign`.
        """
        raise CannotSign("a store on a disk has no addresses that could be signed")

    @abstractmethod
    def committed(self) -> Iterator[tuple[str, str]]:
        """Asset and recipe hash of every artifact, in no particular order."""
