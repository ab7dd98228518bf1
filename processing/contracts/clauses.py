"""Verdicts in one line each: the words every contract uses to say what it found.

Belongs here: building a `Verdict`. Does not belong here: what any contract looks at; each has a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from processing.manifest import Outcome, Verdict

Shown = str | int | float


def passed(clause: str, found: Shown = "", expected: Shown = "") -> Verdict:
    """The output keeps this clause."""
    return Verdict(clause, Outcome.PASSED, str(found), str(expected))


def warned(clause: str, found: Shown = "", expected: Shown = "") -> Verdict:
    """The output may be published, but a person should know this of it."""
    return Verdict(clause, Outcome.WARNED, str(found), str(expected))


def failed(clause: str, found: Shown = "", expected: Shown = "") -> Verdict:
    """The output breaks this clause and must not be published."""
    return Verdict(clause, Outcome.FAILED, str(found), str(expected))


def expect(clause: str, condition: bool, found: Shown = "", expected: Shown = "") -> Verdict:
    """`passed` when `condition` holds, else `failed`."""
    return (passed if condition else failed)(clause, found, expected)


def none_against(clause: str, troubles: Iterable[str]) -> Verdict:
    """`passed` where nothing speaks against a clause, else `failed` with the first of it and how much there is."""
    listed = list(troubles)
    return failed(clause, f"{listed[0]} ({len(listed)} in all)") if listed else passed(clause)
