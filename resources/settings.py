"""Settings: one documented TOML file, the environment above it, a call's own choices above both.

Belongs here: every setting's name, meaning, default and limits, and the refusal of anything else. Does not belong
here: what a setting is used for. `docs/settings.md` is written from this module. It imports the standard library and
two small tables only: a settings class of pydantic costs 190 ms of every command's start, this one 25.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from processing.picture.fields_plan import CHOICES, FRAME_RATE
from processing.probe.language import bcp47

PREFIX = "SOURCEBOUND_"
CONFIG_NAME = "sourcebound.toml"
CONFIG_VARIABLE = "SOURCEBOUND_CONFIG"
NOT_SETTINGS = frozenset({CONFIG_VARIABLE, "SOURCEBOUND_CORPUS", "SOURCEBOUND_REQUIRE_SERVICES"})
RUNGS = (2160, 1440, 1080, 720, 540, 360)  # pixels on the shorter side after rotation
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")
MAX_LOOKAHEAD = 60  # frames; each keeps a picture of every rung in memory
SECRETS = ("database_url", "library_token")  # of which no record keeps more than a digest
MAX_PRIORITY = 100


class SettingsError(ValueError):
    """A setting nobody knows, or a value it cannot have. The text names the setting and what it may be."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type of setting is written: `expects` completes "must be ...", `parse` raises ValueError.

    `parse(raw)` takes what TOML, the environment (always text) or a caller gave.
    """

    expects: str
    parse: Callable[[Any], Any]


def _path(raw: Any) -> Path:
    if not isinstance(raw, str | Path) or not str(raw):
        raise ValueError(raw)
    return Path(raw).expanduser()


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(raw)
    return raw.strip()


def _url(*schemes: str) -> Callable[[Any], str]:
    def parse(raw: Any) -> str:
        text = _text(raw)
        if not text.startswith(schemes):
            raise ValueError(raw)
        return text

    return parse


def _choice(*allowed: str) -> Kind:
    def parse(raw: Any) -> str:
        text = _text(raw)
        if text not in allowed:
            raise ValueError(raw)
        return text

    return Kind(f"one of {', '.join(allowed)}", parse)


def _whole(low: int, high: int, *, unit: str = "") -> Kind:
    def parse(raw: Any) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise ValueError(raw)
        number = int(raw)
        if not low <= number <= high:
            raise ValueError(raw)
        return number

    return Kind(f"a whole number{' of ' + unit if unit else ''} from {low} to {high}", parse)


def _number(low: float, high: float, *, unit: str) -> Kind:
    def parse(raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise ValueError(raw)
        number = float(raw)
        if not low <= number <= high:
            raise ValueError(raw)
        return number

    return Kind(f"a number of {unit} from {low:g} to {high:g}", parse)


def _rungs(raw: Any) -> tuple[int, ...]:
    items = raw.split(",") if isinstance(raw, str) else list(raw)
    heights = tuple(sorted({int(item) for item in items}, reverse=True))
    if not heights or not set(heights) <= set(RUNGS):
        raise ValueError(raw)
    return heights


def _names(raw: Any) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else list(raw)
    return tuple(_text(item) for item in items)


def _language(raw: Any) -> str:
    tag = bcp47(_text(raw))
    if tag is None:
        raise ValueError(raw)
    return tag


LADDER = Kind(f"a list of rungs out of {', '.join(map(str, RUNGS))}, not empty", _rungs)
NAMES = Kind("a list of names", _names)
TEXT = Kind("a text", _text)
DEINTERLACE = _choice(*CHOICES)
PRIORITY = _whole(-MAX_PRIORITY, MAX_PRIORITY)
RULE_KINDS: Mapping[str, Kind] = {
    "pattern": TEXT,
    "title": TEXT,
    "language": Kind("a language tag (BCP 47) such as de or pt-BR", _language),
    "tags": NAMES,
    "priority": PRIORITY,
    "assets": NAMES,
    "ladder": LADDER,
    "deinterlace": DEINTERLACE,
    "region": TEXT,
    "providers_allowed": NAMES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRule:
    """What is said of every file that matches `pattern`, or that lies in a folder that does.

    A pattern is a path with wildcards, counted from the inbox; for a file named elsewhere, from any folder on its way,
    as is a pattern without a slash everywhere. `language` is a BCP 47 tag. What has a `region` is shown to no model of
    another, what has `providers_allowed` to none that is not named there by its id or its provider. A sidecar says more
    than a rule, a later rule more than an earlier one.
    """

    pattern: str
    title: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    assets: tuple[str, ...] | None = None
    ladder: tuple[int, ...] | None = None
    deinterlace: str | None = None
    region: str | None = None
    providers_allowed: tuple[str, ...] | None = None

    def applies_to(self, path: Path, inbox: Path) -> bool:
        """Whether the rule speaks of the file `path` (absolute)."""
        inside = path.is_relative_to(inbox)
        parts = path.relative_to(inbox).parts if inside else path.parts
        wanted = PurePath(self.pattern).parts
        starts = range(1) if inside and len(wanted) > 1 else range(len(parts))
        return any(
            len(parts) - start >= len(wanted) and all(map(fnmatchcase, parts[start:], wanted)) for start in starts
        )

    def to_json(self) -> dict[str, Any]:
        """The rule with what it leaves open left out."""
        return {name: value for name, value in _jsonable(dataclasses.asdict(self)).items() if value not in (None, [])}


def _rules(raw: Any) -> tuple[FolderRule, ...]:
    items = json.loads(raw) if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise ValueError(raw)
    return tuple(item if isinstance(item, FolderRule) else _rule(item) for item in items)


def _rule(item: Any) -> FolderRule:
    if not isinstance(item, Mapping) or "pattern" not in item:
        raise SettingsError(f"rules: {item!r} has no pattern; every rule needs one, such as pattern = 'interviews/*'")
    values: dict[str, Any] = {}
    for name, raw in item.items():
        if name not in RULE_KINDS:
            raise SettingsError(f"rules: {name} is not part of a rule{_nearest(name, RULE_KINDS)}")
        values[name] = parse_value(f"rules: {name}", RULE_KINDS[name], raw)
    return FolderRule(**values)


def _tables(raw: Any) -> tuple[Mapping[str, Any], ...]:
    items = json.loads(raw) if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise ValueError(raw)
    return tuple(items)


def _token(raw: Any) -> str:
    if not isinstance(raw, str) or len(raw) < 16 or not raw.isprintable():
        raise ValueError(raw)
    return raw


def about(kind: Kind, meaning: str, *, default_text: str = "") -> dict[str, Any]:
    """What a field of `Settings` says of itself; `default_text` describes a default that is worked out."""
    return {"kind": kind, "meaning": meaning, "default_text": default_text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. Made by `load_settings`, which makes paths absolute."""

    home: Path = field(
        default=Path(".sourcebound"),
        metadata=about(Kind("a folder", _path), "The folder that holds all state.", default_text="./.sourcebound"),
    )
    inbox: Path = field(
        default=Path("inbox"),
        metadata=about(
            Kind("a folder", _path), "The watched folder. Its files are never altered.", default_text="./inbox"
        ),
    )
    port: int = field(default=3000, metadata=about(_whole(1, 65535), "The port of the Dagster UI on this machine."))
    library_port: int | None = field(
        default=None,
        metadata=about(
            _whole(1, 65535),
            "The port of the library: all sources, their pages, search, uploads and the HTTP API.",
            default_text="the one above `port`",
        ),
    )
    library_host: str = field(
        default="127.0.0.1",
        metadata=about(
            Kind("an address of this machine", str),
            "Where the library listens. Anywhere but on this machine's own address it wants `library_token`.",
        ),
    )
    library_token: str | None = field(
        default=None,
        metadata=about(
            Kind("a secret of at least 16 letters", _token),
            "What whoever opens the library has to know. It is asked for where it is set.",
            default_text="none",
        ),
    )
    store_url: str | None = field(
        default=None,
        metadata=about(
            Kind("an object store: s3://bucket/prefix or file:///folder", _url("s3://", "file:///")),
            "Where artifacts are kept. Credentials, region and endpoint of a bucket are those of the environment: "
            "`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and `AWS_ALLOW_HTTP=true` "
            "for one without TLS.",
            default_text="the folder store in the home",
        ),
    )
    database_url: str | None = field(
        default=None,
        metadata=about(
            Kind(
                "a PostgreSQL address: postgresql://user@host/database", _url("postgresql://", "postgresql+psycopg2://")
            ),
            "The company's own PostgreSQL.",
            default_text="an embedded PostgreSQL in the home",
        ),
    )
    originals: Literal["copy", "reference"] = field(
        default="copy",
        metadata=about(
            _choice("copy", "reference"),
            "How an original is kept: `copy` survives its removal from the inbox, `reference` takes no room.",
        ),
    )
    permits: int | None = field(
        default=None,
        metadata=about(
            _whole(1, 1024),
            "How many encoders may run at once on this machine, over all runs and homes of a user.",
            default_text="the number of cores",
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=about(
            _whole(1, 1024),
            "How many workers one run may have at once, inside the permits.",
            default_text="as many as there are permits",
        ),
    )
    run_slots: int = field(default=2, metadata=about(_whole(1, 256), "How many runs may be in progress at once."))
    preset: str = field(
        default="veryfast",
        metadata=about(_choice(*PRESETS), "The x264 preset: slower makes smaller files. Part of recipes."),
    )
    lookahead: int = field(
        default=8,  # the preset's own is 10; the two frames more cost 26 MB a worker and gain nothing at the same size
        metadata=about(
            _whole(0, MAX_LOOKAHEAD, unit="frames"),
            "How far x264's rate control looks ahead. Part of recipes; four rungs of 1080p peak at 385 MB with 8 frames"
            " and at 411 MB with 10.",
        ),
    )
    ladder: tuple[int, ...] | None = field(
        default=None,
        metadata=about(
            LADDER, "The rungs of the ladder, measured on the shorter side.", default_text="all that a source allows"
        ),
    )
    deinterlace: str = field(
        default=FRAME_RATE,
        metadata=about(
            DEINTERLACE,
            "What becomes of an interlaced source: one picture of each frame (`frame_rate`), or one of each field"
            " (`field_rate`: 25 frames a second become 50, which move as smoothly as on the air and take twice the"
            " work). Part of recipes where it is `field_rate`.",
        ),
    )
    withhold_partial: tuple[str, ...] | None = field(
        default=None,
        metadata=about(
            NAMES,
            "Assets that a release leaves out where damage to the source left only a part of them. All others are"
            " released with their completeness and gaps in index.json.",
            default_text="none",
        ),
    )
    priority: int = field(
        default=0, metadata=about(PRIORITY, "The priority of a source nobody said anything about; higher goes first.")
    )
    settle_ticks: int = field(
        default=2,
        metadata=about(
            _whole(1, 100), "Over how many looks a file's size and time must stand still before it counts as arrived."
        ),
    )
    max_restarts: int = field(
        default=5,
        metadata=about(
            _whole(1, 1000), "How many interrupted runs of a source without any progress are followed by another one."
        ),
    )
    stop_grace_s: float = field(
        default=5.0,
        metadata=about(
            _number(0.0, 600.0, unit="seconds"), "How long running chunks may go on after a stop was asked for."
        ),
    )
    log_level: Literal["debug", "info", "warning", "error"] = field(
        default="info",
        metadata=about(_choice("debug", "info", "warning", "error"), "The least severe log lines that are shown."),
    )
    speech: tuple[str, ...] = field(
        default=("pocketsphinx-en-us",),
        metadata=about(
            NAMES,
            "The models that write down what is said, the best first. Part of recipes.",
            default_text="pocketsphinx-en-us",
        ),
    )
    reading: tuple[str, ...] = field(
        default=("rapidocr-ppocr-v6-small",),
        metadata=about(
            NAMES,
            "The models that read what is written in pictures, the best first. Part of recipes.",
            default_text="rapidocr-ppocr-v6-small",
        ),
    )
    writing: tuple[str, ...] = field(
        default=("extractive",),
        metadata=about(
            NAMES,
            "The models that write summaries, the best first. Part of recipes.",
            default_text="extractive, which quotes",
        ),
    )
    vectors: tuple[str, ...] | None = field(
        default=None, metadata=about(NAMES, "The models that place texts in a space of meaning.", default_text="none")
    )
    labels: tuple[str, ...] | None = field(
        default=None, metadata=about(NAMES, "The models that name what is to be seen.", default_text="none")
    )
    models: tuple[Mapping[str, Any], ...] = field(
        default=(),
        metadata=about(
            Kind("a list of releases of models (in the environment: JSON)", _tables),
            "Models beside those that come with this program: a list of tables as `sourcebound models --help` says.",
            default_text="none",
        ),
    )
    prompts: tuple[Mapping[str, Any], ...] = field(
        default=(),
        metadata=about(
            Kind("a list of prompts (in the environment: JSON)", _tables),
            "Prompts in the place of those that come with this program: a list of tables with id, version, task, text"
            " and sha256. Part of recipes.",
            default_text="none",
        ),
    )
    degrade_after_s: float = field(
        default=3600.0,
        metadata=about(
            _number(0.0, 30 * 86_400.0, unit="seconds"),
            "How long words wait for a model that cannot be had, until the next one that passed the golden set is"
            " asked, and where there is none the output of before is kept as stale.",
        ),
    )
    budget_usd_a_day: float | None = field(
        default=None,
        metadata=about(
            _number(0.0, 1e9, unit="US dollars"),
            "What calls of models may cost in a day (UTC), by the dated price file; a call that does not fit is not"
            " made.",
            default_text="none",
        ),
    )
    rules: tuple[FolderRule, ...] = field(
        default=(),
        metadata=about(
            Kind("a list of rules, each with a pattern (in the environment: JSON)", _rules),
            "What is said of files by their folder: a list of tables with `pattern` and any of title, language, tags,"
            " priority, assets, ladder, deinterlace, region, providers_allowed. A pattern is a path with wildcards,"
            " counted from the inbox (for a"
            " file named elsewhere from any folder on its way); it speaks of all that lies below what it matches.",
            default_text="none",
        ),
    )

    @property
    def library_at(self) -> int:
        """The library's port."""
        return self.library_port or self.port + 1

    @property
    def store_location(self) -> str:
        """Where artifacts are kept: the store's address, or the absolute path of a folder in the home."""
        return self.store_url or str(self.home / "store")

    @property
    def own_folders(self) -> list[Path]:
        """Folders whose files are outputs or state, never uploads: the home, and a store outside it."""
        address = urlsplit(self.store_location)
        if address.scheme not in ("", "file"):
            return [self.home]
        return [self.home, Path(unquote(address.path) if address.scheme else self.store_location)]

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON values, for comparison from start to start and for people."""
        return cast("dict[str, Any]", _jsonable(dataclasses.asdict(self)))

    def to_record(self) -> dict[str, Any]:
        """The same for the record, which anybody may read: of secrets no more than whether they are the same."""
        values = self.to_json()
        for name in SECRETS:
            if values[name] is not None:
                values[name] = f"sha256 {hashlib.sha256(str(values[name]).encode()).hexdigest()[:16]}"
        return values

    def to_environment(self) -> dict[str, str]:
        """The variables under which a child process loads these very settings, whatever its folder."""
        values = self.to_json()
        variables = {variable(name): _as_variable(value) for name, value in values.items() if value is not None}
        variables[variable("rules")] = json.dumps([rule.to_json() for rule in self.rules])
        for name in ("models", "prompts"):
            variables[variable(name)] = json.dumps(values[name])
        return variables


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: defaults, then the file, then the environment, then `overrides` (None: not said).

    Relative paths in the file are taken from the file's folder, all others from the current one. Raises
    `SettingsError` for an unknown name, an impossible value, or a file that cannot be read.
    """
    here = Path.cwd()
    values: dict[str, Any] = {item.name: item.default for item in fields(Settings)}
    for name in ("home", "inbox"):
        values[name] = here / values[name]
    values |= _from_file(here)
    values |= _from_environment(os.environ, here)
    for name, raw in overrides.items():
        if raw is not None:
            values[name] = _parse(name, _kind(name, name, _field_names()), raw, here)
    settings = Settings(**values)
    _require_apart(settings)
    return settings


def _require_apart(settings: Settings) -> None:
    """Refuse an inbox in which what is made would be taken in. A folder with a leading dot is not looked into."""
    inbox = Path(os.path.realpath(settings.inbox))
    for folder in (Path(os.path.realpath(own)) for own in settings.own_folders):
        is_seen = folder.is_relative_to(inbox) and not any(
            part.startswith(".") for part in folder.relative_to(inbox).parts
        )
        if is_seen or inbox.is_relative_to(folder):
            raise SettingsError(
                f"inbox is {settings.inbox}, but must be apart from {folder}: every file in it becomes a source"
            )


def parse_value(name: str, kind: Kind, raw: Any) -> Any:
    """One value of the given kind. Raises `SettingsError` that names it and says what it may be."""
    return _parse(name, kind, raw, Path())


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def settings_page() -> str:
    """The text of docs/settings.md."""
    lines = [
        "# Settings",
        "",
        f"Settings come from `{CONFIG_NAME}` in the current folder (or the file named by `{CONFIG_VARIABLE}`), from",
        "environment variables, which win over the file, and from a command's own options, which win over both.",
        "Relative paths in the file are taken from the file's folder. An unknown name or an impossible value is",
        "refused at the start, with the setting's name and what it may be. A setting that changed since the last start",
        "is recorded as a decision. Settings are read at the start: `sourcebound up` has to be started again to heed",
        "what changed.",
        "",
        "This page is written from `resources/settings.py`.",
        "",
        "| in the file | in the environment | default | may be | meaning |",
        "|---|---|---|---|---|",
    ]
    for item in fields(Settings):
        kind, meaning = item.metadata["kind"], item.metadata["meaning"]
        default = item.metadata["default_text"] or f"`{item.default}`"
        lines.append(f"| `{item.name}` | `{variable(item.name)}` | {default} | {kind.expects} | {meaning} |")
    lines += [
        "",
        "```toml",
        "# sourcebound.toml",
        'inbox = "/media/incoming"',
        "port = 8000  # the library: 8001",
        "ladder = [1080, 720, 360]",
        "",
        "[[rules]]",
        'pattern = "interviews/*"',
        'language = "de"',
        'tags = ["interview"]',
        "priority = 5",
        "```",
        "",
    ]
    return "\n".join(lines)


def _from_file(here: Path) -> dict[str, Any]:
    named = os.environ.get(CONFIG_VARIABLE)
    path = here / (named or CONFIG_NAME)
    if not named and not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from None
    return {
        name: _parse(name, _kind(name, f"{name} in {path.name}", _field_names()), raw, path.parent)
        for name, raw in content.items()
    }


def _from_environment(environment: Mapping[str, str], here: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    known = {variable(name): name for name in _field_names()}
    for key, raw in environment.items():
        if not key.startswith(PREFIX) or key in NOT_SETTINGS:
            continue
        kind = _kind(known.get(key, key), key, [*known, *NOT_SETTINGS])
        values[known[key]] = _parse(known[key], kind, raw, here)
    return values


def _kind(name: str, written: str, known: list[str]) -> Kind:
    if name in _kinds():
        return _kinds()[name]
    raise SettingsError(f"{written} is not a setting{_nearest(written.split(maxsplit=1)[0], known)}")


def _parse(name: str, kind: Kind, raw: Any, base: Path) -> Any:
    try:
        value = kind.parse(raw)
    except SettingsError:
        raise
    except (ValueError, TypeError, AttributeError):
        spelled = f"{name} ({variable(name)}, or {name} in {CONFIG_NAME})" if kind is _kinds().get(name) else name
        raise SettingsError(f"{spelled} is {raw!r}, but must be {kind.expects}") from None
    return Path(os.path.normpath(base / value)) if isinstance(value, Path) else value


def _kinds() -> dict[str, Kind]:
    return {item.name: item.metadata["kind"] for item in fields(Settings)}


def _field_names() -> list[str]:
    return list(_kinds())


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    return [_jsonable(item) for item in value] if isinstance(value, tuple) else value


def _as_variable(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
