"""Recipes: all that determines an output, as canonical JSON (RFC 8785) under one hash.

Belongs here: the fields, their completeness, the hash. Does not belong here: which asset has which parameters
(media_assets) or who ran it, where and when (the manifest's `made_by`, outside the hash).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import rfc8785

_SHA256 = re.compile(r"[0-9a-f]{64}")
SCHEMA = 1  # raised when the meaning of a recipe field changes; every recipe hash changes with it


class IncompleteRecipe(ValueError):
    """A recipe that does not determine its output; `field` names what is missing. Nothing is published under it."""

    def __init__(self, field_name: str, why: str) -> None:
        super().__init__(f"the recipe's {field_name} {why}, so the output could not be reproduced from it")
        self.field = field_name


@dataclass(frozen=True, slots=True)
class Recipe:
    """What determines an output.

    `inputs` maps an input's name to the sha256 (hex) of its content; `tools` a library to its version;
    `models` and `prompts` an identifier to a digest. `parameters` holds JSON values only and no floats with a
    fractional second in them: times are ticks and a timescale.
    """

    asset: str
    code_version: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    tools: Mapping[str, str]
    models: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "asset": self.asset,
            "code_version": self.code_version,
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
            "tools": dict(self.tools),
            "models": dict(self.models),
            "prompts": dict(self.prompts),
            "seed": self.seed,
        }

    @property
    def hash(self) -> str:
        """sha256 (hex) over the canonical JSON."""
        return recipe_hash(self.to_json())


FIELDS = ("schema", "asset", "code_version", "parameters", "inputs", "tools", "models", "prompts", "seed")


def require_complete(recipe: Mapping[str, Any]) -> None:
    """Raise `IncompleteRecipe` unless every field is there, of its type, and determines something.

    `inputs` and `tools` must not be empty and inputs must be full sha256 hex digests; unknown fields are refused
    too, for a reader would not know what they determine.
    """
    for name in FIELDS:
        if name not in recipe:
            raise IncompleteRecipe(name, "is missing")
    for name in recipe:
        if name not in FIELDS:
            raise IncompleteRecipe(name, "is not a field of a recipe")
    if recipe["schema"] != SCHEMA:
        raise IncompleteRecipe("schema", f"is {recipe['schema']!r}, not {SCHEMA}")
    for name in ("asset", "code_version"):
        if not isinstance(recipe[name], str) or not recipe[name]:
            raise IncompleteRecipe(name, "is empty")
    for name in ("parameters", "inputs", "tools", "models", "prompts"):
        if not isinstance(recipe[name], Mapping):
            raise IncompleteRecipe(name, "is not a mapping")
    for name in ("inputs", "tools"):
        if not recipe[name]:
            raise IncompleteRecipe(name, "is empty")
    for name, digest in recipe["inputs"].items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise IncompleteRecipe(f"inputs.{name}", "is not a sha256")
    for name, version in recipe["tools"].items():
        if not isinstance(version, str) or not version:
            raise IncompleteRecipe(f"tools.{name}", "has no version")
    if not isinstance(recipe["seed"], int) or isinstance(recipe["seed"], bool):
        raise IncompleteRecipe("seed", "is not an integer")


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785): the same bytes for the same value on every machine."""
    return rfc8785.dumps(value)


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """sha256 (hex) of a recipe's canonical JSON. Raises `IncompleteRecipe`."""
    require_complete(recipe)
    return hashlib.sha256(canonical(dict(recipe))).hexdigest()


@functools.cache
def media_tools() -> dict[str, str]:
    """Versions of the libraries that shape picture and sound, without importing them into this process twice."""
    import importlib.metadata as metadata

    import av

    versions = {"av": metadata.version("av"), "numpy": metadata.version("numpy"), "pillow": metadata.version("pillow")}
    versions["ffmpeg"] = av.ffmpeg_version_info
    for name, (major, minor, micro) in sorted(av.library_versions.items()):
        versions[name] = f"{major}.{minor}.{micro}"
    return versions
