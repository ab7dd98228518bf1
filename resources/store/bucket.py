"""A store in an S3 bucket: files first, read back, the manifest last and only if there is none.

Belongs here: the bucket's layout and the order of requests. Does not belong here: whether an artifact may be published
(store). Layout: `artifacts/<asset>/<recipe_hash>/manifest.json` and, beside it, one prefix for each content that makers
brought, named by its data version: competing makers of outputs that are not bit-identical never mix their files.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from processing.failures import Transient
from processing.manifest import FileEntry, Manifest, list_files
from resources.store.backend import MANIFEST, Backend

SHARED = "shared"  # beside `artifacts`: pages that signed links lead to, made again by who asks again
CONTENT_HEX = 16  # of the data version, enough to keep the contents of one recipe apart
DOWNLOAD_BLOCK_BYTES = 8 << 20
REQUEST_ATTEMPTS = (
    3  # for one request that met a broken connection or 5xx; a bucket that is down is the step's business
)
REQUEST_PATIENCE = timedelta(seconds=20)  # over all attempts at one request


class BucketBackend(Backend):
    """Artifacts in `bucket` below `prefix`; `staging_root` is local."""

    def __init__(self, bucket: str, prefix: str, staging_root: Path, options: Mapping[str, str]) -> None:
        self.staging_root = staging_root
        self._bucket = bucket
        self._prefix = prefix
        self._options = dict(options)

    @property
    def _store(self) -> S3Store:
        return open_bucket(self._bucket, self._prefix, self._options)

    def stamp(self, asset: str, recipe_hash: str) -> int | None:
        return 0  # a request would cost as much as reading the manifest

    def read_manifest(self, asset: str, recipe_hash: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._store, f"{_home(asset, recipe_hash)}/{MANIFEST}").bytes())
        except FileNotFoundError:
            return None

    def seal(self, folder: Path) -> tuple[FileEntry, ...]:
        return list_files(folder)

    def commit(self, manifest: Manifest, document: bytes, folder: Path) -> bool:
        content = _content(manifest)
        try:
            for entry in manifest.files:
                obstore.put(self._store, f"{content}/{entry.path}", folder / entry.path)
            stored = tuple(sorted(self.stored_files(manifest), key=lambda entry: entry.path))
        except FileNotFoundError:
            stored = ()  # a competitor that committed first swept what is not his
        home = _home(manifest.asset, manifest.recipe_hash)
        if stored != tuple(sorted(manifest.files, key=lambda entry: entry.path)):
            if self.read_manifest(manifest.asset, manifest.recipe_hash) is not None:
                return False
            raise Transient(
                f"the bucket holds other bytes of {manifest.asset} than were sent", cure="the work is tried again"
            )
        try:
            obstore.put(self._store, f"{home}/{MANIFEST}", document, mode="create")
        except AlreadyExistsError:
            self._drop_losers(manifest.asset, manifest.recipe_hash)
            return False
        self._drop_losers(manifest.asset, manifest.recipe_hash)
        return True

    def uri(self, manifest: Manifest) -> str:
        return "/".join(part for part in (f"s3://{self._bucket}", self._prefix, _content(manifest)) if part)

    def folder(self, manifest: Manifest) -> Path | None:
        return None

    def fetch(self, manifest: Manifest, into: Path) -> None:
        for entry in manifest.files:
            target = into / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for block in self._stream(f"{_content(manifest)}/{entry.path}"):
                    file.write(block)

    def stored_files(self, manifest: Manifest) -> Iterator[FileEntry]:
        content = _content(manifest)
        for key in self._keys(content):
            digest = hashlib.sha256()
            size = 0
            for block in self._stream(key):
                digest.update(block)
                size += len(block)
            yield FileEntry(key.removeprefix(f"{content}/"), size, digest.hexdigest())

    def remove(self, asset: str, recipe_hash: str) -> None:
        home = _home(asset, recipe_hash)
        obstore.delete(self._store, f"{home}/{MANIFEST}")
        if keys := list(self._keys(home)):
            obstore.delete(self._store, keys)

    def sign(self, manifest: Manifest, path: str, for_s: int) -> str:
        return str(obstore.sign(self._store, "GET", f"{_content(manifest)}/{path}", timedelta(seconds=for_s)))

    def share(self, name: str, content: bytes, kind: str, for_s: int) -> str:
        key = f"{SHARED}/{name}"
        obstore.put(self._store, key, content, attributes={"Content-Type": kind})
        return str(obstore.sign(self._store, "GET", key, timedelta(seconds=for_s)))

    def committed(self) -> Iterator[tuple[str, str]]:
        for key in self._keys("artifacts"):
            parts = key.split("/")
            if len(parts) == 4 and parts[3] == MANIFEST:
                yield parts[1], parts[2]

    def _drop_losers(self, asset: str, recipe_hash: str) -> None:
        """Delete what makers that were second, or killed, brought under a recipe that has its artifact."""
        document = self.read_manifest(asset, recipe_hash)
        if document is None:
            return
        keep = f"{_content(Manifest.from_json(json.loads(document)))}/"
        home = _home(asset, recipe_hash)
        if others := [key for key in self._keys(home) if not key.startswith(keep) and key != f"{home}/{MANIFEST}"]:
            obstore.delete(self._store, others)

    def _keys(self, prefix: str) -> list[str]:
        return [found["path"] for page in obstore.list(self._store, prefix) for found in page]

    def _stream(self, key: str) -> Iterator[bytes]:
        for block in obstore.get(self._store, key).stream(min_chunk_size=DOWNLOAD_BLOCK_BYTES):
            yield bytes(block)


def open_bucket(bucket: str, prefix: str, options: Mapping[str, str]) -> S3Store:
    """A client for one bucket; what `options` leave out comes from the AWS environment variables.

    Raises RuntimeError in a process that was forked from one which had used a bucket: obstore's threads do not survive
    a fork, and the first request would hang for ever. Who forks (the nursery, the launcher) must do so before.
    """
    if _users and os.getpid() not in _users:
        raise RuntimeError("this process was forked after its parent had used a bucket; fork before the first use")
    _users.add(os.getpid())
    return _client(bucket, prefix, tuple(sorted(options.items())))


_users: set[int] = set()  # processes of this line of forks that have used a bucket


@functools.cache
def _client(bucket: str, prefix: str, options: tuple[tuple[str, str], ...]) -> S3Store:
    named = dict(options)
    plain_http = named.get("endpoint", "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": True} if plain_http else None,
        retry_config={"max_retries": REQUEST_ATTEMPTS - 1, "retry_timeout": REQUEST_PATIENCE},
        **named,  # type: ignore[arg-type]
    )


def _home(asset: str, recipe_hash: str) -> str:
    return f"artifacts/{asset}/{recipe_hash}"


def _content(manifest: Manifest) -> str:
    return f"{_home(manifest.asset, manifest.recipe_hash)}/{manifest.data_version[:CONTENT_HEX]}"
