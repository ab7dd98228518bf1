"""The releases there are, which of them is used for each task, and the prompts.

Belongs here: reading the files of this package and what the settings add, choosing, answering for recipes and status.
Does not belong here: what a table must be (release), whether a release can be had (availability), calling it
(resources/gateway).
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from resources.releases.availability import lack_of, warning_of
from resources.releases.release import (
    MissingModel,
    Prompt,
    Release,
    ReleaseError,
    is_place_only,
    prompt_from,
    release_from,
)

FOLDER = Path(__file__).parent
# What is used where the settings choose nothing: no key, no network, no download.
DEFAULTS: Mapping[AskTask, tuple[str, ...]] = {
    AskTask.SPEECH: ("pocketsphinx-en-us",),
    AskTask.READING: ("rapidocr-ppocr-v6-small",),
    AskTask.WRITING: ("extractive",),
}
ReleaseTable = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """A release of this package whose model this installation lacks: what was written of it, and why."""

    table: ReleaseTable
    why: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a person wants to know of a release. `place` is its rank among those of its task, 0 the one that is used.

    `version` and `sha256` are empty where the model is missing. `fix` is a command where one mends it.
    """

    id: str
    version: str
    task: str
    provider: str
    model: str
    languages: tuple[str, ...]
    sha256: str
    configured: bool
    place: int | None
    available: bool
    why_not: str
    fix: str
    retires: dt.date | None
    warning: str

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "version": self.version,
            "task": self.task,
            "provider": self.provider,
            "model": self.model,
            "languages": list(self.languages),
            "sha256": self.sha256,
            "configured": self.configured,
            "place": self.place,
            "available": self.available,
            "why_not": self.why_not or None,
            "fix": self.fix or None,
            "retires": self.retires.isoformat() if self.retires else None,
            "warning": self.warning or None,
        }


@dataclass(frozen=True, slots=True)
class Registry:
    """All releases by name ("id@version"), those of each task that are used, the best first, and the prompts by id."""

    releases: Mapping[str, Release]
    chosen: Mapping[AskTask, tuple[Release | Missing, ...]]
    prompts: Mapping[str, Prompt]
    missing: Mapping[str, Missing] = field(default_factory=dict)

    def used(self, task: AskTask) -> tuple[Release, ...]:
        """The releases of a task, the best first. Those whose model is missing are left out."""
        return tuple(each for each in self.chosen.get(task, ()) if isinstance(each, Release))

    def prompt_identities(self) -> dict[str, dict[str, str]]:
        """Every prompt by its id: `options["prompts"]`."""
        return {name: prompt.identity for name, prompt in self.prompts.items()}

    def statuses(self, today: dt.date, environment: Mapping[str, str]) -> list[Status]:
        """Every release: by task, those that are used first, in their order."""
        places = {_name_of(each): place for releases in self.chosen.values() for place, each in enumerate(releases)}
        found = [_status(release, places.get(name), today, environment) for name, release in self.releases.items()]
        found += [_status_of_missing(each, places.get(name)) for name, each in self.missing.items()]
        tasks = [task.value for task in AskTask]
        return sorted(
            found,
            key=lambda each: (tasks.index(each.task), each.place is None, each.place or 0, each.id, each.version),
        )


def read_registry(
    added: Sequence[ReleaseTable] = (),
    chosen: Mapping[str, Sequence[str]] | None = None,
    added_prompts: Sequence[ReleaseTable] = (),
    folder: Path = FOLDER,
) -> Registry:
    """The registry of this package and of what the settings add.

    `added` are tables with the fields of `models/*.toml`; one that holds nothing but an id and where the model is
    (release.PLACE_FIELDS) completes the release of that id. `chosen` names for a task its releases, the best first, by
    id or "id@version"; `added_prompts` take the place of prompts of the same id. Raises ReleaseError.
    """
    tables = list(_read(folder / "models"))
    for number, table in enumerate(added):
        where = f"models[{number}]"
        if is_place_only(table):
            tables = _completed(tables, table, where)
        else:
            tables.append((where, table))
    releases: dict[str, Release] = {}
    missing: dict[str, Missing] = {}
    for where, table in tables:
        try:
            release = release_from(table, where)
        except MissingModel as lack:
            missing[str(table["id"])] = Missing(table, str(lack))
            continue
        if release.name in releases:
            raise ReleaseError(f"{where}: there is a release {release.name} already; raise its version")
        releases[release.name] = release
    prompts = {prompt.id: prompt for prompt in map(_prompt, _read(folder / "prompts"))}
    for number, table in enumerate(added_prompts):
        prompt = prompt_from(table, f"prompts[{number}]")
        prompts[prompt.id] = prompt
    return Registry(releases, _chosen(chosen or {}, releases, missing), prompts, missing)


def _prompt(read: tuple[str, ReleaseTable]) -> Prompt:
    where, table = read
    return prompt_from(table, where)


def _read(folder: Path) -> Iterator[tuple[str, ReleaseTable]]:
    for path in sorted(folder.glob("*.toml")):
        try:
            yield path.name, tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ReleaseError(f"{path.name} is no TOML: {error}; mend it") from None


def _completed(
    tables: list[tuple[str, ReleaseTable]], table: ReleaseTable, where: str
) -> list[tuple[str, ReleaseTable]]:
    """The tables with what a table of the settings says of one of them."""
    if table["id"] not in [each["id"] for _, each in tables]:
        known = ", ".join(str(each["id"]) for _, each in tables)
        raise ReleaseError(
            f"{where}: there is no release {table['id']!r} to complete; name one of {known}, or all fields"
        )
    return [
        (f"{name} with {where}", {**each, **table}) if each["id"] == table["id"] else (name, each)
        for name, each in tables
    ]


def _chosen(
    told: Mapping[str, Sequence[str]], releases: Mapping[str, Release], missing: Mapping[str, Missing]
) -> dict[AskTask, tuple[Release | Missing, ...]]:
    """The releases of each task. Raises ReleaseError for a name nobody knows."""
    tasks = [task.value for task in AskTask]
    for name in told:
        if name not in tasks:
            raise ReleaseError(f"{name}: there is no such task; name one of {', '.join(tasks)}")
    names = {task: tuple(told.get(task.value, DEFAULTS.get(task, ()))) for task in AskTask}
    return {
        task: tuple(_found(name, task, releases, missing) for name in wanted)
        for task, wanted in names.items()
        if wanted
    }


def _found(
    name: str, task: AskTask, releases: Mapping[str, Release], missing: Mapping[str, Missing]
) -> Release | Missing:
    if name in missing:
        return missing[name]
    among = [release for release in releases.values() if name in (release.id, release.name)]
    if len(among) > 1:
        raise ReleaseError(
            f"{task}: {name} has versions {_listed(each.version for each in among)}; name one, as {among[-1].name}"
        )
    if not among or among[0].task is not task:
        known = _listed(each.id for each in releases.values() if each.task is task)
        raise ReleaseError(f"{task}: {name!r} is no release for {task}; name one of {known or 'those you add'}")
    return among[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _name_of(each: Release | Missing) -> str:
    return each.name if isinstance(each, Release) else str(each.table["id"])


def _status(release: Release, place: int | None, today: dt.date, environment: Mapping[str, str]) -> Status:
    lack = lack_of(release, today, environment)
    return Status(
        id=release.id,
        version=release.version,
        task=release.task.value,
        provider=release.provider,
        model=str(release.settings["model"]),
        languages=release.languages,
        sha256=release.sha256,
        configured=place is not None,
        place=place,
        available=lack is None,
        why_not=lack.why if lack else "",
        fix=lack.fix if lack else "",
        retires=release.retires,
        warning=warning_of(release, today) or "",
    )


def _status_of_missing(missing: Missing, place: int | None) -> Status:
    table = missing.table
    return Status(
        id=str(table["id"]),
        version="",
        task=str(table["task"]),
        provider=str(table["provider"]),
        model=str(table.get("model", table["id"])),
        languages=tuple(table["languages"]),
        sha256="",
        configured=place is not None,
        place=place,
        available=False,
        why_not=missing.why.rpartition("; ")[0],
        fix="make setup",
        retires=None,
        warning="",
    )
