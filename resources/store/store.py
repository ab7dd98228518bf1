"""The store of artifacts: found by recipe, published whole or not at all, never twice, never changed.

Belongs here: what may be published and what a reader gets. Does not belong here: where bytes lie (folder, bucket
behind `Backend`), originals, the published pointers, or who may make what (leases in the ledger).
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from processing.completeness import WHOLE
from processing.failures import ContractBroken
from processing.manifest import DeterminismClass, FileEntry, Manifest, Outcome, Verdict
from processing.recipe import canonical, recipe_hash
from processing.work import Input
from resources.identity import Identity
from resources.store.backend import MANIFEST, Backend
from resources.store.bucket import BucketBackend
from resources.store.cache import Cache
from resources.store.folder import FolderBackend
from resources.store.staging import Staging, new_staging, sweep
from resources.store.troubles import translated

REMEMBERED = 4096  # manifests kept in memory: the products of an hour of video at four rungs, at about 2 KB each
_ASSET = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` returns: the manifest that is in the store, and whether this call put it there."""

    manifest: Manifest
    created: bool


class Store:
    """Artifacts by recipe. Threads may share one, and forked children too, but for a bucket used before the fork."""

    def __init__(self, backend: Backend, cache: Cache | None = None) -> None:
        self._backend = backend
        self._cache = cache
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[int, Manifest]] = OrderedDict()

    @classmethod
    def open(
        cls, location: str | Path, *, cache: Path | None = None, options: Mapping[str, str] | None = None
    ) -> Store:
        """The store at a folder, `file:///folder` or `s3://bucket/prefix`. Nothing is created or contacted yet.

        A bucket needs `cache`, a local folder for staging and for inputs; `options` are obstore's for S3 (endpoint,
        region, credentials), above what the AWS environment variables say. Raises ValueError.
        """
        address = urlsplit(str(location))
        if address.scheme == "s3":
            if cache is None:
                raise ValueError("a store in a bucket needs a local cache folder")
            bucket = BucketBackend(address.netloc, address.path.strip("/"), cache / "staging", options or {})
            return cls(bucket, Cache(cache / "artifacts"))
        if address.scheme == "file":
            return cls(FolderBackend(Path(unquote(address.path))))
        if address.scheme and "://" in str(location):
            raise ValueError(f"{location} is no address of a store: it may be a folder, file:///folder or s3://bucket")
        return cls(FolderBackend(Path(location).absolute()))

    def stage(self, purpose: str, owner: str) -> Staging:
        """A private folder to make something in, from which publishing is a rename where the store is a folder."""
        return new_staging(self._backend.staging_root, purpose, owner)

    def sweep_staging(self, is_alive: Callable[[str], bool]) -> int:
        """Remove the staging folders of owners that are gone, and return how many there were."""
        return sweep(self._backend.staging_root, is_alive)

    def find(self, asset: str, recipe_hash: str) -> Manifest | None:
        """The artifact's manifest, or None. Raises `Transient`, and `ContractBroken` for a manifest that is damaged."""
        with translated(f"looking for {asset}"):
            stamp = self._backend.stamp(asset, recipe_hash)
        if stamp is None:
            return None
        key = (asset, recipe_hash)
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(key)
                return known[1]
        with translated(f"reading the manifest of {asset}"):
            document = self._backend.read_manifest(asset, recipe_hash)
        if document is None:
            return None
        manifest = _parsed(asset, recipe_hash, document)
        with self._lock:
            self._known[key] = (stamp, manifest)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return manifest

    def publish(
        self,
        *,
        asset: str,
        recipe: Mapping[str, Any],
        folder: Path,
        facts: Mapping[str, Any],
        verdicts: Sequence[Verdict],
        determinism: DeterminismClass,
        made_by: Mapping[str, Any],
        products: Mapping[str, str] | None = None,
        made_of: Mapping[str, str] | None = None,
        completeness: Mapping[str, int] | None = None,
        gaps: Sequence[Mapping[str, Any]] = (),
    ) -> Published:
        """Publish all files below `folder` as the artifact of `recipe`; `folder` is used up.

        Whoever comes second under one recipe gets the manifest of the first, and what he made is dropped. Raises
        `IncompleteRecipe` for a recipe that does not determine its output, `ContractBroken` for an output whose
        contract found nothing or found it broken, `Transient` for troubles of disk and object store.
        """
        digest = recipe_hash(recipe)
        _require_publishable(asset, recipe, verdicts)
        found = self.find(asset, digest)
        if found is not None:
            return Published(found, created=False)
        with translated(f"publishing {asset}"):
            if not folder.is_relative_to(self._backend.staging_root):
                return self._publish_from_elsewhere(
                    asset=asset,
                    recipe=recipe,
                    folder=folder,
                    facts=facts,
                    verdicts=verdicts,
                    determinism=determinism,
                    made_by=made_by,
                    products=products,
                    made_of=made_of,
                    completeness=completeness,
                    gaps=gaps,
                )
            manifest = Manifest(
                asset=asset,
                recipe=dict(recipe),
                recipe_hash=digest,
                files=self._sealed(asset, folder),
                facts=facts,
                verdicts=tuple(verdicts),
                determinism=determinism,
                made_by=made_by,
                products=products or {},
                made_of=made_of or {},
                completeness=completeness or dict(WHOLE),
                gaps=tuple(gaps),
            )
            created = self._backend.commit(manifest, canonical(manifest.to_json()), folder)
        if created:
            return Published(manifest, created=True)
        winner = self.find(asset, digest)
        if winner is None:
            raise ContractBroken(f"{asset} was removed while it was being published", cure="retry the source")
        return Published(winner, created=False)

    def as_input(self, manifest: Manifest, name: str) -> Input:
        """The artifact as a task reads it: a local folder, fetched and verified once where the store is a bucket."""
        folder = self._backend.folder(manifest)
        if folder is None:
            if self._cache is None:
                raise ValueError("a store whose files are not local needs a cache")
            with translated(f"fetching {manifest.asset}"):
                folder = self._cache.folder(manifest, lambda into: self._backend.fetch(manifest, into))
        return Input(
            name,
            folder,
            manifest.files,
            manifest.facts,
            manifest.data_version,
            recipe_hash=manifest.recipe_hash,
            completeness=manifest.completeness,
            gaps=manifest.gaps,
            warned=tuple(f"{v.clause}: {v.found}" for v in manifest.verdicts if v.outcome is Outcome.WARNED),
        )

    def uri(self, manifest: Manifest) -> str:
        """The address below which each file lies at its path."""
        return self._backend.uri(manifest)

    def folder(self, manifest: Manifest) -> Path | None:
        """The artifact's own local folder, or None where the store is a bucket. Nobody may write there."""
        return self._backend.folder(manifest)

    def stored_files(self, manifest: Manifest) -> Iterator[FileEntry]:
        """Every file at the artifact's address, hashed now. Raises `Transient`."""
        with translated(f"reading {manifest.asset}"):
            yield from self._backend.stored_files(manifest)

    def recorded_data_version(self, manifest: Manifest) -> str | None:
        """The data version as the stored manifest states it, for comparison with the one its contents give."""
        with translated(f"reading the manifest of {manifest.asset}"):
            document = self._backend.read_manifest(manifest.asset, manifest.recipe_hash)
        return None if document is None else json.loads(document).get("data_version")

    def sign(self, manifest: Manifest, path: str, *, for_s: int) -> str:
        """An address by which whoever has it reads one file for so many seconds. Raises `CannotSign`, `Transient`."""
        with translated(f"signing an address of {manifest.asset}"):
            return self._backend.sign(manifest, path, for_s)

    def share(self, name: str, content: bytes, kind: str, *, for_s: int) -> str:
        """Put an object of a media type beside the artifacts; its signed address. Raises `CannotSign`, `Transient`."""
        with translated(f"sharing {name}"):
            return self._backend.share(name, content, kind, for_s)

    def committed(self) -> Iterator[tuple[str, str]]:
        """Asset and recipe hash of every artifact."""
        with translated("listing the store"):
            yield from self._backend.committed()

    def remove(self, asset: str, recipe_hash: str) -> None:
        """Remove one artifact, for `forget` and for repairs; nothing else ever does."""
        with translated(f"removing {asset}"):
            self._backend.remove(asset, recipe_hash)
        with self._lock:
            self._known.pop((asset, recipe_hash), None)

    def _publish_from_elsewhere(self, *, folder: Path, asset: str, **rest: Any) -> Published:
        with self.stage(asset, Identity.current().to_text()) as staging:
            copy = staging.folder / "out"
            if folder.is_dir():
                shutil.copytree(folder, copy, symlinks=True)
            return self.publish(folder=copy, asset=asset, **rest)

    def _sealed(self, asset: str, folder: Path) -> tuple[FileEntry, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            files = self._backend.seal(folder)
        except ValueError as error:
            raise ContractBroken(f"the output of {asset} cannot be published: {error}") from error
        if any(entry.path == MANIFEST for entry in files):
            raise ContractBroken(f"the output of {asset} has a file named {MANIFEST}, which is the store's own")
        return files


def _require_publishable(asset: str, recipe: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    if not _ASSET.fullmatch(asset) or recipe["asset"] != asset:
        raise ValueError(f"the recipe is one of {recipe['asset']!r}, not of {asset!r}")
    if not verdicts:
        raise ContractBroken(f"{asset} was judged by no clause, so nothing says that it is complete")
    failed = next((verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED), None)
    if failed is not None:
        raise ContractBroken(f"{asset} breaks its contract: {failed.clause} found {failed.found or 'nothing'}")


def _parsed(asset: str, recipe_hash: str, document: bytes) -> Manifest:
    """The manifest, if it is one and lies where it belongs."""
    try:
        manifest = Manifest.from_json(json.loads(document))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractBroken(
            f"the manifest of {asset} {recipe_hash[:12]} is damaged",
            cure="remove that artifact's folder and retry its sources",
            detail=repr(error),
        ) from error
    if (manifest.asset, manifest.recipe_hash) != (asset, recipe_hash):
        raise ContractBroken(
            f"the manifest at {asset} {recipe_hash[:12]} is that of {manifest.asset} {manifest.recipe_hash[:12]}",
            cure="remove that artifact's folder and retry its sources",
        )
    return manifest
