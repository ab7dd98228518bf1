"""Artifacts that name files of others as theirs: a release, the page of a source.

Belongs here: from a name to the file behind it. Does not belong here: which names there are (the artifact's facts) or
laying them out (published).

The fact `links` maps a name to `{"asset": ..., "recipe_hash": ..., "path": ...}`; with an empty path the name is a
folder that holds all files of that artifact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from processing.failures import ContractBroken
from processing.manifest import FileEntry, Manifest
from resources.store.store import Store


def linked(store: Store, link: Mapping[str, Any]) -> Manifest:
    """The artifact a link leads to. Raises `ContractBroken` where it is not in the store."""
    made = store.find(link["asset"], link["recipe_hash"])
    if made is None:
        raise ContractBroken(
            f"it links to {link['asset']} {link['recipe_hash'][:12]}, which is not in the store",
            cure="retry the source",
        )
    return made


def below(made: Manifest, path: str) -> list[tuple[FileEntry, str]]:
    """The files a link stands for, each with its path below the link's name (empty when the link is that file)."""
    folder = f"{path.rstrip('/')}/" if path else ""
    files = [(entry, "") for entry in made.files if entry.path == path]
    files += [(entry, entry.path.removeprefix(folder)) for entry in made.files if entry.path.startswith(folder)]
    if not files:
        raise ContractBroken(f"{made.asset} has no {path!r} to link to")
    return files


def linked_files(store: Store, manifest: Manifest) -> Iterator[tuple[str, Manifest, FileEntry]]:
    """Every name that an artifact has by its links, whose file it is, and which. Raises `ContractBroken`."""
    for name, link in manifest.facts.get("links", {}).items():
        made = linked(store, link)
        for entry, relative in below(made, link["path"]):
            yield (f"{name}/{relative}" if relative else name), made, entry


def file_behind(store: Store, manifest: Manifest, name: str) -> tuple[Manifest, FileEntry] | None:
    """Whose file a name is, its own files first, and which; None for a name it does not have."""
    own = next((entry for entry in manifest.files if entry.path == name), None)
    if own is not None:
        return manifest, own
    for said, link in manifest.facts.get("links", {}).items():
        if name != said and not name.startswith(f"{said}/"):
            continue
        made = linked(store, link)
        rest = name.removeprefix(said).lstrip("/")
        path = "/".join(part for part in (link["path"], rest) if part)
        entry = next((each for each in made.files if each.path == path), None)
        if entry is not None:
            return made, entry
    return None
