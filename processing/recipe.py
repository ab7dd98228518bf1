"""Recipes: all that determines an output, as canonical JSON (RFC 8785) under one hash.

Belongs here: the fields, their completeness, the hash. Does not belong here: which asset has which parameters
(media_assets) or who ran it, where and when (the manifest's `made_by`, outside the hash).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
        flaw = _FLAWS[name](recipe[name])
        if flaw is not None:
            raise IncompleteRecipe(name + flaw.below, flaw.why)
    for name in recipe:
        if name not in FIELDS:
            raise IncompleteRecipe(name, "is not a field of a recipe")


class _Flaw(NamedTuple):
    """Why a field determines nothing; `below` names the part of it (".av"), or nothing."""

    why: str
    below: str = ""


def _flaw_of_text(value: Any) -> _Flaw | None:
    return None if isinstance(value, str) and value else _Flaw("is empty")


def _flaw_of_mapping(value: Any) -> _Flaw | None:
    return None if isinstance(value, Mapping) else _Flaw("is not a mapping")


def _flaw_of_each(value: Any, is_right: Callable[[str], object], why: str) -> _Flaw | None:
    """For a mapping that must hold something, all of it right."""
    if not isinstance(value, Mapping):
        return _Flaw("is not a mapping")
    if not value:
        return _Flaw("is empty")
    wrong = [name for name, text in value.items() if not isinstance(text, str) or not is_right(text)]
    return _Flaw(why, f".{wrong[0]}") if wrong else None


_FLAWS: Mapping[str, Callable[[Any], _Flaw | None]] = {
    "schema": lambda value: None if value == SCHEMA else _Flaw(f"is {value!r}, not {SCHEMA}"),
    "asset": _flaw_of_text,
    "code_version": _flaw_of_text,
    "parameters": _flaw_of_mapping,
    "inputs": lambda value: _flaw_of_each(value, _SHA256.fullmatch, "is not a sha256"),
    "tools": lambda value: _flaw_of_each(value, bool, "has no version"),
    "models": _flaw_of_mapping,
    "prompts": _flaw_of_mapping,
    "seed": lambda value: None if type(value) is int else _Flaw("is not an integer"),
}


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785): the same bytes for the same value on every machine."""
    return rfc8785.dumps(value)


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """sha256 (hex) of a recipe's canonical JSON. Raises `IncompleteRecipe`."""
    require_complete(recipe)
    return hashlib.sha256(canonical(dict(recipe))).hexdigest()


@functools.cache
def media_tools() -> dict[str, str]:
    """What shapes picture and sound besides this code: versions of the libraries, the codecs they carry, the machine.

    `codecs` is a digest over the names of the shared libraries inside the wheels of PyAV and Pillow, which hold a hash
    of each one's content (x264, aom, libjpeg...); "system" where they come from the system.
    """
    import platform
    from importlib import metadata

    import av

    versions = {"av": metadata.version("av"), "numpy": metadata.version("numpy"), "pillow": metadata.version("pillow")}
    versions["ffmpeg"] = av.ffmpeg_version_info
    for name, (major, minor, micro) in sorted(av.library_versions.items()):
        versions[name] = f"{major}.{minor}.{micro}"
    bundled = [Path(av.__file__).parent.parent / folder for folder in ("av.libs", "pillow.libs")]
    names = sorted(path.name for folder in bundled if folder.is_dir() for path in folder.iterdir())
    versions["codecs"] = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] if names else "system"
    versions["machine"] = platform.machine()
    return versions
