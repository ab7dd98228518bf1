"""What every request of the library stands on, and the small questions that several of them ask.

Belongs here: the open house, addresses, finding a source or a file of it. Does not belong here: routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request

from processing.failures import ContractBroken
from processing.manifest import Manifest
from processing.pages.dossier_plan import ASSET
from resources.house import House
from resources.ledger.rows import AssetRow, Progress, SourceRow
from resources.status import overall
from resources.store.links import file_behind

SMALL = (("poster", "poster-small.jpg"), ("thumbnails", "thumbnail-320.jpg"), ("waveform", "waveform-small.png"))


@dataclass(frozen=True, slots=True)
class Desk:
    """The house, and where the Dagster UI is."""

    house: House
    ui: str

    def source(self, key: str) -> SourceRow:
        """The source of that key. Raises `UnknownSource`."""
        return self.house.ledger.source(key)

    def made(self, row: AssetRow | None) -> Manifest | None:
        """The artifact of an asset, or None where there is none or it cannot be read."""
        if row is None or row.recipe_hash is None:
            return None
        try:
            return self.house.store.find(row.asset, row.recipe_hash)
        except ContractBroken:
            return None

    def page(self, states: Mapping[str, AssetRow]) -> Manifest | None:
        """The page of a source."""
        return self.made(states.get(ASSET))

    def file(self, manifest: Manifest, name: str) -> Path | None:
        """The local path of a file that an artifact has, itself or by its links."""
        try:
            behind = file_behind(self.house.store, manifest, name)
        except ContractBroken:
            return None
        if behind is None:
            return None
        made, entry = behind
        path = self.house.store.as_input(made, made.asset).path(entry.path)
        return path if path.is_file() else None

    def small_picture(self, states: Mapping[str, AssetRow]) -> Path | None:
        """A small picture that stands for a source."""
        for asset, name in SMALL:
            manifest = self.made(states.get(asset))
            path = self.file(manifest, name) if manifest is not None else None
            if path is not None:
                return path
        return None

    def briefs(self, rows: Sequence[SourceRow]) -> list[dict[str, Any]]:
        """Sources as the wall and the API list them."""
        keys = [row.key for row in rows]
        states, progress = self.house.ledger.states_of(keys), self.house.ledger.progress_of(keys)
        return [self.brief(row, states[row.key], progress.get(row.key, {})) for row in rows]

    def brief(self, row: SourceRow, states: Mapping[str, AssetRow], progress: Mapping[str, Progress]) -> dict[str, Any]:
        """One source in short: what it is called (as on its page, once it has one), how it is, how far."""
        page = self.page(states)
        state, cause = overall(states)
        done = sum(each.done_s for each in progress.values())
        total = sum(each.total_s for each in progress.values())
        return {
            "source": row.key,
            "title": (page.facts.get("title") if page else None) or row.title or row.path.name,
            "kind": row.job,
            "state": state.value,
            "cause": cause,
            "progress": round(min(1.0, done / total), 4) if total and state.value in ("running", "queued") else None,
            "bytes": row.size_bytes,
            "has_page": bool(states.get(ASSET) and states[ASSET].recipe_hash),
            "has_picture": any(states.get(asset) and states[asset].recipe_hash for asset, _ in SMALL),
        }


def desk_of(request: Request) -> Desk:
    """The desk of the application that a request came to."""
    found: Desk = request.app.state.desk
    return found


At = Annotated[Desk, Depends(desk_of)]
