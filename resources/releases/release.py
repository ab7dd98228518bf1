"""A release of a model or a prompt as data: its fields, and what a table of them must be.

Belongs here: reading one table (of a file of this package, or of the settings) and refusing it in a sentence that says
what to change. Does not belong here: which there are and which is used (registry), or whether it can be had now
(availability).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import functools
import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processing.asking import AskTask
from processing.recipe import canonical
from resources.gateway.limits import Limits
from resources.releases.prices import Price, price_of

PROVIDERS = ("aws", "embedded", "openai_http", "whisper_local")
LOCAL = ("embedded", "whisper_local")  # of them: run on this machine, free of charge and of limits a minute
ANY_LANGUAGE = "*"
TIMEOUT_S = 120.0
_ID = re.compile(r"[a-z0-9][a-z0-9.\-]{0,63}")
_PROMPT_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([+\-][0-9A-Za-z.\-]+)?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_OF_ALL = ("id", "version", "task", "provider", "model", "languages", "retires", "sha256", "timeout_s")
_MORE_OF_ALL = ("timeout_per_media_s", "limits", "dependency", "price", "options", "notes")
OF_PROVIDER: Mapping[str, tuple[str, ...]] = {
    "embedded": ("operation", "identity", "bounds"),
    "whisper_local": ("extra", "module", "directory", "device", "compute_type", "threads"),
    "openai_http": ("base_url", "key_env", "dimensions", "limit_parameter", "tokens_a_picture", "tokens_a_second"),
    "aws": ("region", "bucket", "key_env", "language_codes", "dimensions", "base_url"),
}
# Where a model is reached and how it is used, not what it answers: the settings may say so of a release of the package.
PLACE_FIELDS = frozenset(
    {"base_url", "bucket", "dependency", "device", "directory", "key_env", "limits", "price", "region", "threads"}
    | {"timeout_s", "timeout_per_media_s", "retires"}
)
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "embedded": ("operation", "identity", "bounds"),
    "whisper_local": ("model",),
    "openai_http": ("model", "base_url"),
    "aws": ("model",),
}


class ReleaseError(ValueError):
    """A release that cannot be used as it is written. The text says what to change, and where."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of one model for one task.

    `settings` is the whole table as its provider reads it, with `id`, `version`, `sha256`, `provider` and `model`.
    `limits` are None for a model of this house. `languages` are BCP 47 tags, or `ANY_LANGUAGE`.
    """

    id: str
    version: str
    task: AskTask
    provider: str
    sha256: str
    languages: tuple[str, ...]
    settings: Mapping[str, Any]
    dependency: str
    limits: Limits | None
    timeout_s: float
    timeout_per_media_s: float
    price: Price
    retires: dt.date | None = None
    identified: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Id and version, as people name it where there are several versions."""
        return f"{self.id}@{self.version}"

    @property
    def identity(self) -> dict[str, Any]:
        """What of it enters recipes."""
        return {
            **self.identified,
            "id": self.id,
            "version": self.version,
            "sha256": self.sha256,
            "languages": list(self.languages),
        }

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this house for it."""
        return self.provider in LOCAL

    def cost_usd(self, tokens_in: float, tokens_out: float, media_s: float, requests: int = 1) -> float:
        """What an answer costs by the price file; 0 for a model of this house."""
        return self.price.cost_usd(tokens_in, tokens_out, media_s, requests)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of one prompt: its id is the name by which operations know it."""

    id: str
    version: str
    task: AskTask
    text: str
    sha256: str

    @property
    def identity(self) -> dict[str, str]:
        """What enters recipes and asks."""
        return {"id": self.id, "version": self.version, "sha256": self.sha256, "text": self.text}


def release_from(table: Mapping[str, Any], where: str) -> Release:
    """The release a table describes. `where` names the table for a person.

    Raises ReleaseError, the first thing that is wrong.
    """
    provider = _one_of(table, "provider", PROVIDERS, where)
    allowed = (*_OF_ALL, *_MORE_OF_ALL, *OF_PROVIDER[provider])
    _require_fields(table, ("id", "task", "languages", *_NEEDED[provider]), allowed, where)
    id_ = _matching(table, "id", _ID, "letters, digits, dots and hyphens, such as whisper-small", where)
    task = AskTask(_one_of(table, "task", tuple(task.value for task in AskTask), where))
    identified = _identified(table, where) if provider == "embedded" else {}
    if provider == "whisper_local":
        identified = {"shaped_by": _shape(table)}  # its sha256 is that of a file, and says nothing of options
    if identified.get("id", id_) != id_:
        raise ReleaseError(f"{where}: the model calls itself {identified['id']}; set id to that")
    version = str(identified.get("version") or _matching(table, "version", _VERSION, "of the form 1.0.0", where))
    settings = {**table, "version": version, "model": table.get("model", id_)}
    sha256 = str(identified.get("sha256") or _digest(settings, where))
    price = table.get("price")
    return Release(
        id=id_,
        version=version,
        task=task,
        provider=provider,
        sha256=sha256,
        languages=_languages(identified.get("languages", table["languages"]), where),
        settings={**{name: _plain(value) for name, value in settings.items()}, "sha256": sha256},
        dependency=str(table.get("dependency") or f"{provider}/{settings['model']}"),
        limits=_limits(table, provider, where),
        timeout_s=_seconds(table, "timeout_s", TIMEOUT_S, where),
        timeout_per_media_s=_seconds(table, "timeout_per_media_s", 0.0, where),
        price=_price(price, str(settings["model"]), provider, where),
        retires=_date(table, where),
        identified={name: value for name, value in identified.items() if name not in ("id", "version", "sha256")},
    )


def prompt_from(table: Mapping[str, Any], where: str) -> Prompt:
    """The prompt a table describes. Raises ReleaseError."""
    fields = ("id", "version", "task", "text", "sha256")
    _require_fields(table, fields, fields, where)
    id_ = _matching(table, "id", _PROMPT_ID, "small letters and underscores, such as summary_part", where)
    text = str(table["text"]).strip() + "\n"
    found = hashlib.sha256(text.encode()).hexdigest()
    if table["sha256"] != found:
        raise ReleaseError(
            f"{where}: its text is not the one that was released; raise version and set sha256 to {found}"
        )
    task = AskTask(_one_of(table, "task", tuple(task.value for task in AskTask), where))
    return Prompt(id_, _matching(table, "version", _VERSION, "of the form 1.0.0", where), task, text, found)


def is_place_only(table: Mapping[str, Any]) -> bool:
    """Whether a table says no more of a release than where it is and how it is used."""
    return "id" in table and set(table) - {"id", "version"} <= PLACE_FIELDS


def _require_fields(table: Mapping[str, Any], needed: tuple[str, ...], allowed: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in allowed:
            near = difflib.get_close_matches(str(name), allowed, n=1)
            raise ReleaseError(f"{where}: {name!r} is no field of it; {f'use {near[0]!r}' if near else 'leave it out'}")
    for name in needed:
        if name not in table:
            raise ReleaseError(f"{where}: {name} is missing; set it")


def _one_of(table: Mapping[str, Any], name: str, allowed: tuple[str, ...], where: str) -> str:
    value = table.get(name)
    if value not in allowed:
        raise ReleaseError(f"{where}: {name} is {value!r}; set it to one of {', '.join(allowed)}")
    return str(value)


def _matching(table: Mapping[str, Any], name: str, pattern: re.Pattern[str], form: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ReleaseError(f"{where}: {name} is {value!r}; write it {form}")
    return value


def _languages(value: Any, where: str) -> tuple[str, ...]:
    tags = value if isinstance(value, (list, tuple)) else ()
    if not tags or not all(isinstance(tag, str) and (tag == ANY_LANGUAGE or _LANGUAGE.fullmatch(tag)) for tag in tags):
        raise ReleaseError(f'{where}: languages is {value!r}; list tags such as "en" or "pt-BR", or "*" for any')
    return tuple(tags)


def _date(table: Mapping[str, Any], where: str) -> dt.date | None:
    value = table.get("retires")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = dt.date.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, dt.date):
        raise ReleaseError(f"{where}: retires is {table['retires']!r}; write the day as 2027-03-31")
    return value.date() if isinstance(value, dt.datetime) else value


def _seconds(table: Mapping[str, Any], name: str, default: float, where: str) -> float:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86_400:
        raise ReleaseError(f"{where}: {name} is {value!r}; set it to seconds, 86400 at most")
    return float(value)


def _limits(table: Mapping[str, Any], provider: str, where: str) -> Limits | None:
    if provider in LOCAL:
        return None
    told = table.get("limits", {})
    known = {each.name for each in dataclasses.fields(Limits)}
    try:
        unknown = [name for name in told if name not in known]
        if unknown:
            raise ValueError(f"{unknown[0]} is no limit, and may be one of {', '.join(sorted(known))}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
        return Limits(**values)
    except (TypeError, ValueError) as error:
        raise ReleaseError(f"{where}: limits cannot be used; {error}") from None


def _price(told: Any, model: str, provider: str, where: str) -> Price:
    if provider in LOCAL:
        return Price()
    if told is not None:
        try:
            return Price(**{str(name): float(value) for name, value in dict(told).items()})
        except (TypeError, ValueError):
            fields = ", ".join(each.name for each in dataclasses.fields(Price))
            raise ReleaseError(f"{where}: price cannot be used; set numbers of USD for {fields}") from None
    found = price_of(model)
    if found is None:
        raise ReleaseError(
            f"{where}: what {model} costs is not in the price list; set price = {{ million_tokens_in_usd = ..., "
            f"million_tokens_out_usd = ... }}, or price = {{}} where it costs nothing"
        )
    return found


def _digest(settings: Mapping[str, Any], where: str) -> str:
    """sha256 of a model that is no file here: over what is asked for. Of one that is a file: as it was stated."""
    stated = settings.get("sha256")
    if stated is not None and not (isinstance(stated, str) and _SHA256.fullmatch(stated)):
        raise ReleaseError(f"{where}: sha256 is {stated!r}; write 64 hexadecimal digits")
    if settings["provider"] == "whisper_local":
        if stated is None:
            raise ReleaseError(f"{where}: sha256 is missing; set it to what `sha256sum model.bin` prints")
        return str(stated)
    found = _shape(settings)
    if stated is not None and stated != found:
        raise ReleaseError(f"{where}: it is not what was released; raise version and set sha256 to {found}")
    return found


def _shape(settings: Mapping[str, Any]) -> str:
    """sha256 (hex) over all that shapes what a release answers."""
    left_out = PLACE_FIELDS | {"sha256", "notes"}
    return hashlib.sha256(
        canonical({name: _plain(value) for name, value in settings.items() if name not in left_out})
    ).hexdigest()


def _plain(value: Any) -> Any:
    """A value of TOML as one of JSON: days as texts."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else value


def _identified(table: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """What an embedded model says of itself: id, version, sha256 over its files, languages."""
    try:
        return identity_of(str(table["identity"]))
    except (AttributeError, ImportError, KeyError, RuntimeError, ValueError) as error:
        raise MissingModel(f"{where}: {error}; set the environment up again with `make setup`") from None


class MissingModel(ReleaseError):
    """An embedded model whose files or module this installation lacks."""


@functools.cache
def identity_of(dotted: str) -> Mapping[str, Any]:
    """What `processing.words.embedded.<name>_plan:model` says. Raises what goes wrong in finding or calling it."""
    module, _, attribute = dotted.partition(":")
    if not module.startswith("processing.words.embedded.") or not attribute.isidentifier():
        raise ValueError(f"{dotted!r} names no embedded model")
    found = getattr(importlib.import_module(module), attribute)()
    return {name: found[name] for name in ("id", "version", "sha256", "languages")} | dict(found)
