"""What the gateway knows now, for people: limits, the adaptive limit and why it is so, breaker, budgets, queues.

Belongs here: reading it into plain values. Does not belong here: deciding anything by it (governor).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, text

from resources.gateway.limits import CallClass

# A call waits its turn: those ahead and it itself, at the pace of the last minute, or where that is not known at what
# the limits allow.
_STATUS = text("""
SELECT d.*, clock_timestamp() AS now,
  gateway.filled(d.requests, d.requests_a_minute, d.request_burst, d.filled_at, clock_timestamp()) AS requests_now,
  gateway.filled(d.tokens, d.tokens_a_minute, d.token_burst, d.filled_at, clock_timestamp()) AS tokens_now,
  (SELECT count(*) FROM gateway.permits p WHERE p.dependency = d.name AND p.expires_at > clock_timestamp()) AS live,
  m.firsts, m.retries, m.well, m.refused, m.failed, m.used
FROM gateway.dependencies d
CROSS JOIN LATERAL (
  SELECT coalesce(sum(firsts), 0) AS firsts, coalesce(sum(retries), 0) AS retries, coalesce(sum(well), 0) AS well,
    coalesce(sum(refused), 0) AS refused, coalesce(sum(failed), 0) AS failed, coalesce(sum(tokens), 0) AS used
  FROM gateway.slots s WHERE s.dependency = d.name AND s.slot > gateway.slot_of(clock_timestamp()) - 6
) m
ORDER BY d.name
""")
_QUEUES = text("""
SELECT dependency, class, count(*) AS waiting, sum(tokens) AS tokens,
  extract(epoch FROM clock_timestamp() - min(since)) AS oldest_s
FROM gateway.tickets WHERE expires_at > clock_timestamp() GROUP BY dependency, class
""")
_SPENT = text("SELECT scope, period, usd FROM gateway.spent ORDER BY period DESC, scope LIMIT 30")
_RESERVED = text("""
SELECT scope, period, sum(usd) AS usd FROM gateway.reserved WHERE expires_at > clock_timestamp() GROUP BY scope, period
""")
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Those who wait in one class: how many, since when, and when the last of them has its turn (seconds)."""

    waiting: int
    oldest_s: float
    drained_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyStatus:
    """One dependency now; counts are of the last minute."""

    name: str
    requests_a_minute: float | None
    requests_left: float | None
    tokens_a_minute: float | None
    tokens_left: float | None
    at_once: int
    at_once_reason: str
    at_once_for_s: float
    under_way: int
    breaker: str
    breaker_reason: str
    breaker_for_s: float
    probe_in_s: float | None
    held_for_s: float | None
    service_s: float | None
    firsts: int
    retries: int
    well: int
    refused: int
    failed: int
    tokens: float
    queues: dict[str, Queue]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Spending:
    """One budget: what was spent of it in a period and what calls under way may still spend, of how many US dollars."""

    scope: str
    period: str
    spent_usd: float
    reserved_usd: float
    limit_usd: float | None


def dependencies(engine: Engine) -> list[DependencyStatus]:
    """Every dependency that was ever called, by name."""
    with engine.connect() as connection:
        rows = connection.execute(_STATUS).all()
        waiting: dict[str, dict[int, Any]] = {}
        for row in connection.execute(_QUEUES):
            waiting.setdefault(row.dependency, {})[row[1]] = row
    return [_dependency(row, waiting.get(row.name, {})) for row in rows]


def spending(engine: Engine, limits: Mapping[tuple[str, str], float]) -> list[Spending]:
    """Budgets with what was spent of them, the newest first. `limits` are those in force, by scope and period."""
    with engine.connect() as connection:
        reserved = {(row.scope, row.period): row.usd for row in connection.execute(_RESERVED)}
        spent = {(row.scope, row.period): row.usd for row in connection.execute(_SPENT)}
    return [
        Spending(scope, period, spent.get((scope, period), 0.0), reserved.get((scope, period), 0.0), of)
        for scope, period in sorted({*spent, *reserved, *limits}, key=lambda key: key[1], reverse=True)
        for of in [limits.get((scope, period))]
    ]


def _dependency(row: Any, waiting: dict[int, Any]) -> DependencyStatus:
    def since(at: Any) -> float:
        return float((row.now - at).total_seconds())

    ahead, queues = 0, {}
    for each in CallClass:
        if each in waiting:
            ahead += int(waiting[each].waiting)
            drained_s = _drained_s(row, ahead)
            queues[each.name.lower()] = Queue(int(waiting[each].waiting), float(waiting[each].oldest_s), drained_s)
    return DependencyStatus(
        name=row.name,
        requests_a_minute=row.requests_a_minute,
        requests_left=None if row.requests_a_minute is None else round(row.requests_now, 1),
        tokens_a_minute=row.tokens_a_minute,
        tokens_left=None if row.tokens_a_minute is None else round(row.tokens_now),
        at_once=int(row.at_once) if row.breaker == "closed" else 1,
        at_once_reason=row.at_once_reason,
        at_once_for_s=since(row.at_once_since),
        under_way=row.live,
        breaker=row.breaker,
        breaker_reason=row.breaker_reason,
        breaker_for_s=since(row.breaker_since),
        probe_in_s=max(0.0, -since(row.probe_at)) if row.breaker == "open" else None,
        held_for_s=-since(row.held_until) if row.held_until is not None and row.held_until > row.now else None,
        service_s=row.service_s,
        firsts=row.firsts,
        retries=row.retries,
        well=row.well,
        refused=row.refused,
        failed=row.failed,
        tokens=row.used,
        queues=queues,
    )


def _drained_s(row: Any, ahead: int) -> float | None:
    """When so many have had their turn; None while the breaker lets nobody through."""
    if row.breaker != "closed":
        return None
    paces = [row.at_once / row.service_s] if row.service_s else []
    if row.requests_a_minute is not None:
        paces.append(row.requests_a_minute / MINUTE_S)
    if row.tokens_a_minute is not None and row.well and row.used:
        paces.append(row.tokens_a_minute / MINUTE_S / (row.used / row.well))
    return round(ahead / min(paces), 1) if paces else None
