"""Is what lies in the store still what was published?

Belongs here: reading every byte of an artifact again and comparing, and whether a release is found where people look
for it. Does not belong here: running its contract again
(that needs the works and the compute) or repairing anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from processing.failures import ContractBroken, WorkFailure
from processing.manifest import Manifest
from processing.recipe import IncompleteRecipe, recipe_hash
from resources.store.published import Published
from resources.store.store import Store

NOT_PUBLISHED = "what is published is not it, or not all of it"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an artifact: where (a file's path, or a field of the manifest) and what."""

    asset: str
    recipe_hash: str
    where: str
    what: str

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"{self.asset} {self.recipe_hash[:12]}: {self.where} {self.what}"


def verify_artifact(store: Store, manifest: Manifest) -> list[Problem]:
    """Every difference between the manifest and the stored bytes, hashed now; empty when there is none.

    Raises `Transient` when the store cannot be read.
    """
    return [
        Problem(manifest.asset, manifest.recipe_hash, where, what)
        for where, what in [*_inconsistencies(store, manifest), *_differences(store, manifest)]
    ]


@dataclass(frozen=True, slots=True)
class Examined:
    """One artifact as it lies in the store now; `product` is its name where it is one of a pass."""

    digest: str
    product: str | None
    manifest: Manifest | None
    problems: tuple[Problem, ...]


def examine(store: Store, asset: str, digest: str, product: str | None = None) -> Examined:
    """Look an artifact up by its recipe hash and read every byte of it; one that cannot be found is a problem."""
    try:
        manifest = store.find(asset, digest)
    except ContractBroken as failure:
        return Examined(digest, product, None, (Problem(asset, digest, "manifest.json", failure.cause),))
    if manifest is None:
        return Examined(digest, product, None, (Problem(asset, digest, "manifest.json", "is gone"),))
    return Examined(digest, product, manifest, tuple(verify_artifact(store, manifest)))


def examine_whole(store: Store, asset: str, digest: str) -> Iterator[Examined]:
    """An artifact, then each of the products it consists of."""
    whole = examine(store, asset, digest)
    yield whole
    if whole.manifest is not None:
        for name, product_digest in whole.manifest.products.items():
            yield examine(store, asset, product_digest, name)


def is_published(published: Published, store: Store, source: str, digest: str, asset: str) -> bool:
    """Whether this release is what people find under the source's name, whole."""
    try:
        release = store.find(asset, digest)
        return release is not None and published.shows(source, release)
    except WorkFailure:
        return False


def verify_everything(store: Store) -> Iterator[Problem]:
    """Every problem of every artifact in the store, one by one."""
    for asset, digest in store.committed():
        yield from examine(store, asset, digest).problems


def _inconsistencies(store: Store, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What the manifest says of itself."""
    try:
        if recipe_hash(manifest.recipe) != manifest.recipe_hash:
            yield "recipe", "does not have the hash it is stored under"
    except IncompleteRecipe as error:
        yield "recipe", f"is incomplete: {error}"
    recorded = store.recorded_data_version(manifest)
    if recorded != manifest.data_version:
        yield (
            "data_version",
            f"is recorded as {str(recorded)[:12]}, files, facts and products give {manifest.data_version[:12]}",
        )
    if not manifest.verdicts:
        yield "verdicts", "are missing: nothing says that the output kept its contract"


def _differences(store: Store, manifest: Manifest) -> Iterator[tuple[str, str]]:
    stored = {entry.path: entry for entry in store.stored_files(manifest)}
    for entry in manifest.files:
        found = stored.pop(entry.path, None)
        if found is None:
            yield entry.path, "is missing"
        elif found.bytes != entry.bytes:
            yield entry.path, f"has {found.bytes} bytes instead of {entry.bytes}"
        elif found.sha256 != entry.sha256:
            yield entry.path, "has other bytes than were published"
    for path in sorted(stored):
        yield path, "was not published"
