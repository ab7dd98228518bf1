"""What people corrected of a machine's words: decisions on record, and what they come to.

Belongs here: recording a correction where nobody is in its way, folding all of them into what holds now. Does not
belong here: what a place or a text is (processing/words/corrections), or what follows (resources/corrections).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, text

from resources.ledger.decisions import Decision, record
from resources.ledger.moves import lock_source, outdate
from resources.ledger.rows import DecisionKind
from resources.ledger.states import ENDED_BADLY, USABLE, AssetState

_SAID = text("""
SELECT seq, at, actor, payload FROM ledger.decisions
WHERE source = :source AND asset = :asset AND kind = 'corrected' ORDER BY seq
""")
_ROW = text("SELECT state FROM ledger.asset_states WHERE source = :source AND asset = :asset FOR UPDATE")


CORRECTABLE = USABLE | ENDED_BADLY  # a correction that could not be made can be corrected, or taken back


class InTheWay(ValueError):
    """Why a correction cannot be recorded now; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """What holds of one asset's words: of which artifact (recipe hash), the last text of each place, who accepted it.

    `version` grows with every correction: who corrects says which he saw.
    """

    version: int
    uncorrected: str
    texts: tuple[Mapping[str, str], ...]
    accepted: Mapping[str, str] | None

    @property
    def holds(self) -> bool:
        """Whether anything is left of them: all may have been taken back."""
        return bool(self.texts or self.accepted)


def corrections(connection: Connection, source: str, asset: str) -> Corrections | None:
    """What was corrected of an asset's words, None where nobody ever did."""
    version, uncorrected = 0, ""
    texts: dict[str, dict[str, str] | None] = {}
    accepted: dict[str, str] | None = None
    for row in connection.execute(_SAID, {"source": source, "asset": asset}):
        version, payload = row.seq, row.payload
        if payload["uncorrected"] != uncorrected:  # of other words: what was said of those before says nothing here
            uncorrected, texts, accepted = payload["uncorrected"], {}, None
        look = {"author": row.actor, "at": row.at.astimezone(UTC).isoformat(timespec="seconds")}
        if not payload["texts"]:  # all of it: accepted, or everything taken back
            accepted = look if payload["accepted"] else None
            texts = texts if payload["accepted"] else {}
        else:
            accepted = None  # who accepted them did not see these
        for place, said in payload["texts"].items():
            texts[place] = None if said is None else {"place": place, "text": said, **look}
    if not version:
        return None
    return Corrections(version, uncorrected, tuple(each for _, each in sorted(texts.items()) if each), accepted)


def counted(texts: Mapping[str, str | None]) -> str:
    """What a correction says, in words; empty where it has no texts."""
    back = sum(text is None for text in texts.values())
    told = ((len(texts) - back, "corrected"), (back, "taken back"))
    return ", ".join(f"{count} {'place' if count == 1 else 'places'} {what}" for count, what in told if count)


def correct(
    connection: Connection,
    source: str,
    asset: str,
    *,
    author: str,
    version: int,
    uncorrected: str,
    texts: Mapping[str, str | None],
    accepted: bool,
    came_of_it: Sequence[str],
) -> None:
    """Record a correction, and let the asset and what came of it be made anew, in a transaction of the caller's.

    A text of None takes back what was corrected of its place; no texts at all, and not accepted, everything that was
    said of the words. Raises `InTheWay`, `UnknownSource`.
    """
    lock_source(connection, source)
    state = connection.execute(_ROW, {"source": source, "asset": asset}).scalar()
    if state is None or AssetState(state) not in CORRECTABLE:
        raise InTheWay(f"its {asset} is {state or 'not there'} now; correct it when it is there again")
    before = corrections(connection, source, asset)
    if before is not None and before.version != version:
        raise InTheWay(f"somebody corrected its {asset} meanwhile; look at it again, then correct what is left")
    payload: dict[str, Any] = {"uncorrected": uncorrected, "texts": dict(texts), "accepted": accepted}
    reason = counted(texts) or ("accepted as it is" if accepted else "all taken back")
    kind = DecisionKind.CORRECTED
    record(connection, [Decision(kind=kind, actor=author, reason=reason, source=source, asset=asset, payload=payload)])
    outdate(connection, source, [asset, *came_of_it], actor=author, cause=f"{asset} was reviewed by {author}")
