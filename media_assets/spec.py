"""The declaration of a derivative: everything the platform must know of it, complete or refused.

Belongs here: the type and its rules. Does not belong here: the declarations themselves (intake, picture, sound, out)
or what Dagster makes of them (build).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from media_assets.policies import Pool, Retry
from processing.work import Work, is_operation

Kind = Literal["video", "audio", "image"]
Part = Literal["media", "words"]
KINDS: tuple[Kind, ...] = ("video", "audio", "image")


class IncompleteDeclaration(ValueError):
    """A declaration that lacks something the platform relies on. Loading the definitions fails with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One derivative as the platform sees it.

    `kinds` are the kinds of sources that have it, `part` whether it is made with picture and sound or, in a run of its
    own afterwards, with words. `freshness` is how old an output may be, `latency` how long after arrival a
    one-minute source should have it; both are targets that the UI shows.
    """

    work: Work
    description: str
    owner: str
    group: str
    kinds: tuple[Kind, ...]
    pool: Pool
    retry: Retry
    freshness: timedelta
    latency: timedelta
    part: Part = "media"

    def __post_init__(self) -> None:
        missing = [name for name in ("description", "owner", "group", "kinds") if not getattr(self, name)]
        missing += [name for name in ("freshness", "latency") if getattr(self, name) <= timedelta(0)]
        if self.work.is_pass and not self.work.unit_contract:
            missing.append("the contract of a unit")
        if missing:
            raise IncompleteDeclaration(f"the declaration of {self.work.asset!r} lacks {', '.join(missing)}")
        if not set(self.kinds) <= set(KINDS):  # letters of a single text are no kinds either
            raise IncompleteDeclaration(
                f"{self.work.asset!r} is declared of {self.kinds!r}; kinds are a tuple of {', '.join(KINDS)}"
            )
        works = [self.work, *filter(None, [self.work.corrected])]
        named = [name for work in works for name in (work.operation, work.contract, work.unit_contract) if name]
        wrong = [name for name in named if not is_operation(name)]
        if wrong:
            raise IncompleteDeclaration(
                f"the declaration of {self.work.asset!r} names {wrong[0]!r}, which is no operation"
            )

    @property
    def name(self) -> str:
        """The asset's name."""
        return self.work.asset


def works_of(declarations: Mapping[str, Declaration]) -> dict[str, Work]:
    """What each declaration makes, by asset name."""
    return {name: declaration.work for name, declaration in declarations.items()}


def catalogue(declarations: Iterable[Declaration]) -> Mapping[str, Declaration]:
    """Declarations by asset name, in an order in which every need comes before what needs it.

    Raises `IncompleteDeclaration` for a name used twice, a need nobody declares, a tap on something that is not a
    pass, or a circle.
    """
    by_name: dict[str, Declaration] = {}
    for declaration in declarations:
        if declaration.name in by_name:
            raise IncompleteDeclaration(f"{declaration.name!r} is declared twice")
        by_name[declaration.name] = declaration
    ordered: dict[str, Declaration] = {}
    visiting: list[str] = []

    def visit(name: str, wanted_by: str) -> None:
        if name in ordered:
            return
        if name not in by_name:
            raise IncompleteDeclaration(f"{wanted_by!r} needs {name!r}, which nobody declares")
        if name in visiting:
            raise IncompleteDeclaration(f"the needs of {name!r} form a circle: {' -> '.join([*visiting, name])}")
        visiting.append(name)
        for need in by_name[name].work.comes_after:
            visit(need, name)
        visiting.pop()
        ordered[name] = by_name[name]

    for name in by_name:
        visit(name, name)
    for declaration in by_name.values():
        for tap in declaration.work.taps:
            if not by_name[tap.pass_asset].work.is_pass:
                raise IncompleteDeclaration(f"{declaration.name!r} taps {tap.pass_asset!r}, which is not a pass")
    return ordered
