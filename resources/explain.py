"""Three questions about a source, answered in sentences: is it broken, what changed, where to look next.

Belongs here: from the ledger and manifests to sentences. Does not belong here: printing them (operations) or the record
itself (ledger).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processing.manifest import Outcome
from processing.words.corrections_plan import UNCORRECTED
from resources.house import House
from resources.ledger.arrivals import ARRIVED
from resources.ledger.history import Event, Made
from resources.ledger.rows import AssetRow
from resources.ledger.states import DONE, ENDED_BADLY, UNFINISHED, AssetState
from resources.status import overall

LATELY = 400  # events that are looked at: a source has two for each asset in every run
TOLD = 6  # sentences of one kind
NAMED = 4  # names in one sentence
BY_PEOPLE = "of what the machine wrote and people said of it"
OF_ALL = ("cancelled", "superseded")  # decided of the source: that each asset moves says it again
MADE_AGAIN_ANYWAY = ("release", "dossier")  # with every step of a source
WORDED: Mapping[str, str] = {
    "arrived": "the file arrived",
    "accepted": "it was accepted",
    "retried": "it was told to be tried again",
    "published": "it was published",
    "superseded": "another file took its place",
    "quarantined": "it was put into quarantine",
    "cancelled": "it was cancelled",
    "paused": "it was paused",
    "resumed": "it was resumed",
    "hurried": "it was put first",
    "corrected": "its words were reviewed",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Where to look or what to do: a sentence, and an address or a command where there is one."""

    sentence: str
    link: str | None = None
    command: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"sentence": self.sentence, "link": self.link, "command": self.command}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answers. `is_broken` is true where somebody has to do something."""

    source: str
    state: str
    is_broken: bool
    broken: tuple[str, ...]
    changed: tuple[str, ...]
    next: tuple[Look, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "state": self.state,
            "is_broken": self.is_broken,
            "broken": list(self.broken),
            "changed": list(self.changed),
            "next": [look.to_json() for look in self.next],
        }


def explain(house: House, source: str, *, ui: str | None) -> Explanation:
    """What there is to say of a source; `ui` is the address of the Dagster UI, where one is up.

    Raises `UnknownSource`.
    """
    house.ledger.source(source)
    states = house.ledger.states(source)
    events = house.ledger.events_of(source, limit=LATELY)
    state, _ = overall(states)
    bad = [row for row in states.values() if row.state in ENDED_BADLY]
    return Explanation(
        source,
        state.value,
        bool(bad),
        tuple(_broken(house, states, bad)),
        tuple([*_made_anew(house, source), *_set(house, events), *_happened(events)][:TOLD]),
        tuple(_next(source, states, bad, ui)),
    )


def _broken(house: House, states: Mapping[str, AssetRow], bad: Sequence[AssetRow]) -> Iterator[str]:
    roots = [row for row in bad if not (row.cause or "").startswith("needs ")]
    for (ended, cause), names in _alike(roots or bad):
        yield f"{_listed(names)} {ended}: {cause or 'nothing is on record of why'}."
    behind = [row.asset for row in bad if row not in roots]
    if roots and behind:
        yield f"Because of that {_listed(behind)} could not be made."
    waiting = [row for row in states.values() if row.state is AssetState.WAITING and row.cause]
    for (_, cause), names in _alike(waiting):
        yield f"{_listed(names)} waits: {cause}."
    for (_, cause), names in _alike([row for row in states.values() if row.state is AssetState.CANCELLED]):
        yield f"{_listed(names)} {'was' if len(names) == 1 else 'were'} not made: {cause or 'it was cancelled'}."
    moving = [row.asset for row in states.values() if row.state in UNFINISHED]
    if moving:
        yield f"{_listed(moving)} {'is' if len(moving) == 1 else 'are'} being made or next in turn."
    for (_, cause), names in _alike([row for row in states.values() if row.state is AssetState.STALE]):
        yield f"{_listed(names)} {'is' if len(names) == 1 else 'are'} of before: {cause or 'made again soon'}."
    if all(row.state in DONE for row in states.values()):
        made = sum(row.state is AssetState.READY for row in states.values())
        yield f"No: all {made} outputs that it can have are there, and kept their contracts."
    warned = [f"{row.asset} ({clause})" for row in states.values() for clause in _warned(house, row)]
    if warned:
        yield f"To be known of what is there: {_listed(warned)}."


def _alike(rows: Sequence[AssetRow]) -> list[tuple[tuple[str, str | None], list[str]]]:
    """Assets that ended the same way for the same cause, together, in the order of the first of each."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for row in rows:
        found.setdefault((_ended(row), row.cause), []).append(row.asset)
    return list(found.items())


def _ended(row: AssetRow) -> str:
    return {
        AssetState.FAILED: "failed",
        AssetState.QUARANTINED: "was put into quarantine",
        AssetState.BOUNDED: "reached its bound",
    }.get(row.state, f"is {row.state.value}")


def _warned(house: House, row: AssetRow) -> list[str]:
    manifest = house.store.find(row.asset, row.recipe_hash) if row.recipe_hash else None
    verdicts = manifest.verdicts if manifest is not None else ()
    return [verdict.clause for verdict in verdicts if verdict.outcome is Outcome.WARNED]


def _made_anew(house: House, source: str) -> Iterator[str]:
    """What of a source was made by another recipe than before, and by what they differ."""
    changes: list[tuple[Made, str]] = []
    for asset, made in house.ledger.recipes_of(source).items():
        if len(made) < 2 or asset in MADE_AGAIN_ANYWAY:
            continue
        before, after = (house.store.find(asset, each.recipe_hash) for each in made[-2:])
        if before is not None and after is not None:
            is_corrected = UNCORRECTED in after.made_of
            told = BY_PEOPLE if is_corrected else "; ".join(differences(before.recipe, after.recipe))
            changes.append((made[-1], told or "nothing that shows"))
    for made_at, told in sorted(changes, key=lambda change: change[0].at, reverse=True):
        yield f"{_when(made_at.at)} {made_at.asset} was made anew: {told}."


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """By what one recipe differs from another, in words."""
    if before.get("code_version") != after.get("code_version"):
        yield f"its code went from {before.get('code_version')} to {after.get('code_version')}"
    for name, title in (("tools", "tool"), ("models", "model")):
        one, other = before.get(name, {}), after.get(name, {})
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield f"{title} {key} {_from_to(one.get(key), other.get(key))}"
    changed = sorted(_leaves(before.get("parameters", {})) ^ _leaves(after.get("parameters", {})))
    names = list(dict.fromkeys(path for path, _ in changed))
    if names:
        yield f"its settings changed: {_listed(names)}"
    one, other = before.get("inputs", {}), after.get("inputs", {})
    inputs = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    if inputs:
        yield f"what it is made of changed: {_listed(inputs)}"


def _from_to(before: Any, after: Any) -> str:
    if before is None:
        return "came in"
    if after is None:
        return "went out"
    return f"went from {str(before)[:12]} to {str(after)[:12]}"


def _leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, Mapping):
        return {leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}.{key}" if path else str(key))}
    return {(path, str(value))}


def _set(house: House, events: Sequence[Event]) -> Iterator[str]:
    """Settings that were changed since the source was first seen, as far back as events are looked at."""
    if events:
        for each in house.ledger.settings_since(events[-1].at):
            yield f"{_when(each.at)} the setting {each.name} went from {each.before} to {each.value}."


def _happened(events: Sequence[Event]) -> Iterator[str]:
    said: set[tuple[str, str, str | None]] = set()
    for event in events:
        alike = (event.kind, event.actor, event.cause)
        is_told = (event.kind == "accepted" and event.cause == ARRIVED) or (event.kind in OF_ALL and event.asset)
        if event.kind in WORDED and event.kind != "published" and alike not in said and not is_told:
            said.add(alike)
            reason = f" ({event.cause})" if event.cause and event.kind != "arrived" else ""
            yield f"{_when(event.at)} {WORDED[event.kind]}, by {event.actor}{reason}."


def _next(source: str, states: Mapping[str, AssetRow], bad: Sequence[AssetRow], ui: str | None) -> Iterator[Look]:
    seen: set[str] = set()
    for row in [*bad, *(each for each in states.values() if each.state is AssetState.WAITING)]:
        if row.run_id and row.run_id not in seen and len(seen) < TOLD:
            seen.add(row.run_id)
            link = f"{ui}/runs/{row.run_id}" if ui else None
            yield Look(f"The run that {row.asset} ended in is {row.run_id[:8]}.", link)
    if any(row.state is AssetState.QUARANTINED for row in bad):
        yield Look("Mend the file, then let it be tried again.", command=f"sourcebound retry {source}")
    elif bad:
        yield Look("Let it be tried again once the cause is gone.", command=f"sourcebound retry {source}")
    waiting = [row for row in states.values() if row.state is AssetState.WAITING and row.wake_at is not None]
    if waiting:
        due = min(row.wake_at for row in waiting if row.wake_at is not None)
        yield Look(f"It goes on by itself, not before {_when(due)}; `retry` goes on at once.")
    if not bad and not waiting:
        yield Look("Every output with its checks and what it took.", command=f"sourcebound artifacts {source}")
        yield Look("Whether what is stored is still what was made.", command=f"sourcebound verify {source}")


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def _listed(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = len(shown) - NAMED
    return ", ".join(shown[:NAMED]) + (f" and {more} more" if more > 0 else "")
