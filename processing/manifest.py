"""Manifests: what an artifact consists of, what its contract found, and who made it.

Belongs here: the data, its JSON, the data version. Does not belong here: where bytes lie (resources/store).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from processing.completeness import WHOLE
from processing.recipe import canonical

FORMAT = 1
HASH_BLOCK_BYTES = 1 << 20


class DeterminismClass(StrEnum):
    """A: bytes identical. B: decoded content identical. C: equivalent within a declared bound."""

    A = "A"
    B = "B"
    C = "C"


class Outcome(StrEnum):
    """The verdict of one clause of a contract."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one clause of a contract found; `found` and `expected` are short texts or numbers for a person."""

    clause: str
    outcome: Outcome
    found: str = ""
    expected: str = ""

    def to_json(self) -> dict[str, str]:
        return {
            "clause": self.clause,
            "outcome": self.outcome.value,
            "found": self.found,
            "expected": self.expected,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Verdict:
        return cls(value["clause"], Outcome(value["outcome"]), value.get("found", ""), value.get("expected", ""))


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an artifact: its path relative to the artifact, size in bytes and sha256 (hex)."""

    path: str
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileEntry:
        return cls(value["path"], int(value["bytes"]), value["sha256"])


@dataclass(frozen=True, slots=True)
class Manifest:
    """The commit mark of an artifact.

    `facts` is what the maker measured and later work needs (JSON, no blobs, times as ticks). `products` names
    the artifacts a pass consists of, `made_of` those that were read, each name to recipe hash. `made_by` is outside the
    recipe: run, attempt, placement, build, correlation. `completeness` is the share of media seconds as a rational and
    `gaps` the missing spans, where a damaged source allowed only a part.
    """

    asset: str
    recipe: Mapping[str, Any]
    recipe_hash: str
    files: tuple[FileEntry, ...]
    facts: Mapping[str, Any]
    verdicts: tuple[Verdict, ...]
    determinism: DeterminismClass
    made_by: Mapping[str, Any]
    products: Mapping[str, str] = field(default_factory=dict)
    made_of: Mapping[str, str] = field(default_factory=dict)
    completeness: Mapping[str, int] = field(default_factory=lambda: dict(WHOLE))
    gaps: tuple[Mapping[str, Any], ...] = ()

    @property
    def data_version(self) -> str:
        """sha256 (hex) over the outputs: files by path and content, facts, and products."""
        return data_version(self.files, self.facts, self.products)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "asset": self.asset,
            "recipe_hash": self.recipe_hash,
            "recipe": dict(self.recipe),
            "data_version": self.data_version,
            "determinism": self.determinism.value,
            "files": [entry.to_json() for entry in self.files],
            "products": dict(self.products),
            "made_of": dict(self.made_of),
            "facts": dict(self.facts),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "completeness": dict(self.completeness),
            "gaps": [dict(gap) for gap in self.gaps],
            "made_by": dict(self.made_by),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        return cls(
            asset=value["asset"],
            recipe=value["recipe"],
            recipe_hash=value["recipe_hash"],
            files=tuple(FileEntry.from_json(entry) for entry in value["files"]),
            facts=value["facts"],
            verdicts=tuple(Verdict.from_json(verdict) for verdict in value["verdicts"]),
            determinism=DeterminismClass(value["determinism"]),
            made_by=value["made_by"],
            products=value["products"],
            made_of=value["made_of"],
            completeness=value["completeness"],
            gaps=tuple(value["gaps"]),
        )


def data_version(files: Iterable[FileEntry], facts: Mapping[str, Any], products: Mapping[str, str]) -> str:
    """sha256 (hex) over canonical JSON of the sorted file list, the facts and the products."""
    body = {
        "files": [entry.to_json() for entry in sorted(files, key=lambda entry: entry.path)],
        "facts": dict(facts),
        "products": dict(products),
    }
    return hashlib.sha256(canonical(body)).hexdigest()


def hash_file(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 (hex) of one file, read in blocks. Raises OSError."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Every regular file below `folder`, sorted by path, hashed. Raises OSError; a link is refused (ValueError)."""
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"an artifact cannot hold a link: {path.name}")
        if path.is_file():
            size, digest = hash_file(path)
            entries.append(FileEntry(path.relative_to(folder).as_posix(), size, digest))
    return tuple(entries)
