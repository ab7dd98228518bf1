"""What an uploader may say about a file beside it: `NAME.sourcebound.json`, and rules by folder that say the same.

Belongs here: the fields, their validation, which of them shape outputs. Does not belong here: finding sidecars
(sensors/plan) or recording them (resources/intake).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

SIDECAR_SUFFIX = ".sourcebound.json"
MAX_SIDECAR_BYTES = 65_536  # a few fields; anything larger is a mistake or an attack
LADDER_HEIGHTS = (2160, 1440, 1080, 720, 540, 360)
SHAPING_FIELDS = ("assets", "ladder", "language")

Priority = Literal["interactive", "normal", "backfill"]


class InvalidSidecar(ValueError):
    """A sidecar that cannot be used; the text is one sentence that names the field and what it may be."""


class Wishes(BaseModel):
    """What may be said about a source before it is worked on. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = Field(default=None, max_length=500)
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
    tags: tuple[str, ...] = Field(default=(), max_length=50)
    priority: Priority | None = None
    assets: tuple[str, ...] | None = None
    ladder: tuple[int, ...] | None = None

    @field_validator("ladder")
    @classmethod
    def _known_heights(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or any(height not in LADDER_HEIGHTS for height in value)):
            raise ValueError(f"may hold {', '.join(map(str, LADDER_HEIGHTS))}")
        return value

    def over(self, base: Wishes) -> Wishes:
        """These wishes where they say something, else those of `base`; tags of both."""
        merged = base.model_dump() | self.model_dump(exclude_unset=True)
        merged["tags"] = tuple(dict.fromkeys([*base.tags, *self.tags]))
        return Wishes(**merged)

    def shaping(self) -> dict[str, Any]:
        """The part that may enter recipes (JSON values)."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in SHAPING_FIELDS}


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of `path` would be."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def read_sidecar(path: Path, known_assets: Iterable[str]) -> Wishes:
    """The wishes in one sidecar. Raises `InvalidSidecar`; a missing file is FileNotFoundError."""
    if path.stat().st_size > MAX_SIDECAR_BYTES:
        raise InvalidSidecar(f"its sidecar {path.name} is larger than {MAX_SIDECAR_BYTES} bytes")
    try:
        wishes = Wishes.model_validate(json.loads(path.read_bytes()))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InvalidSidecar(f"its sidecar {path.name} is not JSON; mend it and retry the source") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise InvalidSidecar(
            f"its sidecar {path.name} is not valid: {where}: {first['msg']}; mend it and retry the source"
        ) from None
    unknown = sorted(set(wishes.assets or ()) - set(known_assets))
    if unknown:
        raise InvalidSidecar(
            f"its sidecar {path.name} names unknown assets ({', '.join(unknown)}); "
            f"known are {', '.join(sorted(known_assets))}"
        )
    return wishes
