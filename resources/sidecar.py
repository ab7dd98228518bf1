"""What an uploader may say about a file beside it: `NAME.sourcebound.json`, and rules by folder that say the same.

Belongs here: reading and merging, and which fields shape outputs. Does not belong here: the kinds of values (settings,
where folder rules have the same fields), names (file_names) or recording them (resources/intake).
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.file_names import SIDECAR_SUFFIX
from resources.settings import RULE_KINDS, FolderRule, SettingsError, parse_value

MAX_SIDECAR_BYTES = 65_536  # a few fields; anything larger is a mistake or an attack
SHAPING_FIELDS = ("assets", "ladder", "language")
SHAPING_IF_SAID = (
    "deinterlace",
    "region",
    "providers_allowed",
)  # came later: written down where it was said, so that older sources stay as they are
CURE = "mend it, then retry the source"


class InvalidSidecar(ValueError):
    """A sidecar that cannot be used; the text is one sentence that names the field and what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What was said about a source before it was worked on; None where nothing was said."""

    title: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    assets: tuple[str, ...] | None = None
    ladder: tuple[int, ...] | None = None
    deinterlace: str | None = None
    region: str | None = None
    providers_allowed: tuple[str, ...] | None = None

    @classmethod
    def of_rule(cls, rule: FolderRule) -> Wishes:
        """What a folder rule says."""
        return cls(**{field.name: getattr(rule, field.name) for field in dataclasses.fields(cls)})

    def over(self, base: Wishes) -> Wishes:
        """These wishes where they say something, else those of `base`; the tags of both."""
        said = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not None
        }
        return dataclasses.replace(base, **(said | {"tags": tuple(dict.fromkeys([*base.tags, *self.tags]))}))

    def shaping(self) -> dict[str, Any]:
        """The part that may enter recipes (JSON values)."""
        values = {name: getattr(self, name) for name in SHAPING_FIELDS}
        values |= {name: getattr(self, name) for name in SHAPING_IF_SAID if getattr(self, name) is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of `path` would be."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def read_sidecar(path: Path, known_assets: Iterable[str]) -> Wishes:
    """The wishes in one sidecar. Raises `InvalidSidecar`; OSError where it cannot be read."""
    content = _bytes_of(path)
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidSidecar(f"its sidecar {path.name} is not JSON; {CURE}") from None
    if not isinstance(said, dict):
        raise InvalidSidecar(f"its sidecar {path.name} is not a JSON object; {CURE}")
    if not _is_text(said):
        raise InvalidSidecar(f"its sidecar {path.name} has characters that are no text; {CURE}")
    values: dict[str, Any] = {}
    for name, raw in said.items():
        kind = RULE_KINDS.get(name)
        if kind is None or name == "pattern":
            fields = ", ".join(field.name for field in dataclasses.fields(Wishes))
            raise InvalidSidecar(f"its sidecar {path.name} has {name!r}, but may only have {fields}; {CURE}")
        try:
            values[name] = parse_value(f"its {name}", kind, raw)
        except SettingsError as error:
            raise InvalidSidecar(f"its sidecar {path.name} is not valid: {error}; {CURE}") from None
    unknown = sorted(set(values.get("assets") or ()) - set(known_assets))
    if unknown:
        raise InvalidSidecar(
            f"its sidecar {path.name} names {', '.join(unknown)}, but the assets are "
            f"{', '.join(sorted(known_assets))}; {CURE}"
        )
    return Wishes(**values)


def _is_text(said: dict[str, Any]) -> bool:
    """Whether all texts in it are: JSON can write zero characters and halves of characters, no database holds them."""
    try:
        written = json.dumps(said, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):  # it may be nested just as deep as reading allows and writing does not
        return False
    return b"\\u0000" not in written.replace(rb"\\", b"")  # an escaped backslash before u0000 is harmless text


def _bytes_of(path: Path) -> bytes:
    """The whole of a regular, small file; never waits for the other end of a pipe. Raises as `read_sidecar`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidSidecar(f"its sidecar {path.name} is not a regular file; {CURE}")
        if found.st_size > MAX_SIDECAR_BYTES:
            raise InvalidSidecar(f"its sidecar {path.name} is larger than {MAX_SIDECAR_BYTES} bytes; {CURE}")
        return file.read(MAX_SIDECAR_BYTES)
