"""`sourcebound models`: which releases of models there are, how good they are, which of two is better.

Belongs here: tables and JSON. Does not belong here: releases (resources/releases) or holding one against the golden set
(resources/golden).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import uuid
from collections.abc import Iterator
from typing import Any

from operations.cli.output import UsageProblem, print_json, say, show, show_table
from operations.session import open_session
from resources import golden, run_tags, words_desk
from resources.house import House, open_house
from resources.releases.compare import NotComparable, compare
from resources.releases.registry import Registry, Status
from resources.releases.release import ReleaseError
from resources.settings import Settings

SHORT_DIGEST = 12


def show_models(settings: Settings, *, as_json: bool) -> int:
    """Print every release: whether it is used, whether it can be had, until when."""
    statuses = registry_of(settings).statuses(dt.datetime.now(dt.UTC).date(), os.environ)
    if as_json:
        print_json({"models": [status.to_json() for status in statuses]})
        return 0
    show_table(("task", "model", "used", "available", "digest", "until"), [_line(status) for status in statuses])
    for status in statuses:
        if not status.available:
            say(f"{status.id}: {status.why_not}" + (f"; {status.fix}" if status.fix else ""))
        if status.warning:
            say(f"{status.id}: {status.warning}")
    return 0


def hold_model(settings: Settings, name: str, *, as_json: bool) -> int:
    """Hold one release against the golden set of its task; status 1 where it misses a bar."""
    with _open(settings) as house:
        held = _hold(house, name)
    if as_json:
        print_json(_json(held))
    else:
        bars = golden.gates(held.release.task)
        rows = [(measure, f"{share:.3f}", _bar(bars.get(measure))) for measure, share in held.shares.items()]
        show_table(("measure", "share of errors", "at most"), rows)
        say(golden.told_of(held))
    return 0 if held.passed else 1


def compare_models(settings: Settings, first: str, second: str, *, as_json: bool) -> int:
    """Say of each measure whether the second release is better, worse or undecided."""
    with _open(settings) as house:
        registry = house.words.registry
        frames = []
        for name in (first, second):
            frame = golden.kept(house, golden.find_release(registry, name))
            frames.append(_hold(house, name).frame if frame is None else frame)
    try:
        found = compare(*frames)
    except NotComparable as error:
        raise UsageProblem(str(error)) from None
    if as_json:
        print_json({"first": first, "second": second, "measures": [each.to_json() for each in found]})
    else:
        for each in found:
            show(each.sentence)
    return 0


@contextlib.contextmanager
def _open(settings: Settings) -> Iterator[House]:
    with (
        open_session(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        yield house


def _hold(house: House, name: str) -> golden.Held:
    release = golden.find_release(house.words.registry, name)
    return golden.hold(
        house,
        release,
        actor=run_tags.CLI,
        run_id=str(uuid.uuid4()),
        told=lambda item: say(f"{release.name}: {item}"),
    )


def registry_of(settings: Settings) -> Registry:
    """The releases there are by these settings. Raises `UsageProblem`."""
    try:
        return words_desk.registry_of(settings)
    except ReleaseError as error:
        raise UsageProblem(str(error)) from None


def _line(status: Status) -> tuple[str, str, str, str, str, str]:
    rank = "" if status.place is None else ("yes" if status.place == 0 else f"number {status.place + 1}")
    until = status.retires.isoformat() if status.retires else ""
    name = f"{status.id}@{status.version}" if status.version else status.id
    return status.task, name, rank, "yes" if status.available else "no", status.sha256[:SHORT_DIGEST], until


def _bar(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _json(held: golden.Held) -> dict[str, Any]:
    return {
        "release": held.release.name,
        "task": held.release.task.value,
        "golden": held.golden.digest,
        "items": len(held.golden.items),
        "shares": dict(held.shares),
        "missed": dict(held.missed),
        "passed": held.passed,
    }
