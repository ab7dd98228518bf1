"""Leases: who works on what right now, so that nothing is made twice at the same time.

Belongs here: leases on recipes and claims of runs on sources, which are leases too. Does not belong here: machine-wide
permits (resources/compute).

A holder of this machine is judged by whether it lives, one of another machine by its expiry: a process that is
suspended for an hour keeps what it holds, one that was killed loses it at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from resources.identity import Identity, is_alive
from resources.ledger.rows import Lease

CLAIM_PREFIX = "run:"

_TAKE = text("""
INSERT INTO ledger.leases (key, fence, holder, note, expires_at)
VALUES (:key, nextval('ledger.fences'), :holder, :note, clock_timestamp() + make_interval(secs => :ttl_s))
ON CONFLICT (key) DO NOTHING RETURNING fence
""")
_LOOK = text("""
SELECT fence, holder, note, expires_at < clock_timestamp() AS expired FROM ledger.leases WHERE key = :key
""")
_TAKE_OVER = text("""
UPDATE ledger.leases SET fence = nextval('ledger.fences'), holder = :holder, note = :note,
  expires_at = clock_timestamp() + make_interval(secs => :ttl_s)
WHERE key = :key AND fence = :fence RETURNING fence
""")
_RENEW = text("""
UPDATE ledger.leases SET expires_at = clock_timestamp() + make_interval(secs => :ttl_s)
WHERE key = :key AND fence = :fence
""")
_RELEASE = text("DELETE FROM ledger.leases WHERE key = :key AND fence = :fence")
_RELEASE_CLAIM = text("DELETE FROM ledger.leases WHERE key = :key AND note = :note")
_ALL = text("SELECT key, fence, holder, expires_at < clock_timestamp() AS expired FROM ledger.leases")
_CLAIMS = text("""
SELECT key, note, holder, expires_at < clock_timestamp() AS expired FROM ledger.leases
WHERE starts_with(key, 'run:') AND (CAST(:keys AS text[]) IS NULL OR key = ANY(CAST(:keys AS text[])))
""")


def try_lease(
    connection: Connection,
    key: str,
    identity: Identity,
    ttl_s: float,
    note: str | None,
    *,
    own_is_free: bool = False,
) -> Lease | None:
    """Take the lease, or None where its holder lives. `ttl_s` seconds matter to other machines only.

    `own_is_free` is for a caller who knows that nothing in this process holds it: then a row in its name was left by a
    database that went away before the lease was handed out or given back.
    """
    values = {"key": key, "holder": identity.to_text(), "ttl_s": ttl_s, "note": note}
    fence = connection.execute(_TAKE, values).scalar()
    if fence is None:
        held = connection.execute(_LOOK, {"key": key}).first()
        left = own_is_free and held is not None and held.holder == values["holder"]
        if held is None or (_holds(held.holder, held.expired) and not left):
            return None
        fence = connection.execute(_TAKE_OVER, {**values, "fence": held.fence}).scalar()
    return Lease(key, fence) if fence is not None else None


def renew(connection: Connection, lease: Lease, ttl_s: float) -> bool:
    """Hold on for another `ttl_s` seconds; False where somebody else has it by now."""
    values = {"key": lease.key, "fence": lease.fence, "ttl_s": ttl_s}
    return connection.execute(_RENEW, values).rowcount == 1


def release(connection: Connection, lease: Lease) -> bool:
    """Give it back; False where somebody else has it by now, which is left alone."""
    return connection.execute(_RELEASE, {"key": lease.key, "fence": lease.fence}).rowcount == 1


def try_claim(connection: Connection, source: str, run_id: str, identity: Identity, ttl_s: float) -> bool:
    """Make `run_id` the one run at work on the source. True also where this very process claimed it for that run."""
    key = CLAIM_PREFIX + source
    if try_lease(connection, key, identity, ttl_s, run_id) is not None:
        return True
    held = connection.execute(_LOOK, {"key": key}).first()
    return held is not None and held.note == run_id and held.holder == identity.to_text()


def release_claim(connection: Connection, source: str, run_id: str) -> bool:
    """Give the source back; False where another run has it."""
    return connection.execute(_RELEASE_CLAIM, {"key": CLAIM_PREFIX + source, "note": run_id}).rowcount == 1


def drop_dead(connection: Connection) -> int:
    """Remove the leases and claims whose holders are gone; how many. Nobody waits for those; they only take room."""
    dead = [row for row in connection.execute(_ALL) if not _holds(row.holder, row.expired)]
    for row in dead:
        connection.execute(_RELEASE, {"key": row.key, "fence": row.fence})
    return len(dead)


def live_claims(connection: Connection, sources: Iterable[str] | None = None) -> dict[str, str]:
    """Sources with a run at work, by key: the run's id."""
    keys = None if sources is None else [CLAIM_PREFIX + source for source in sources]
    rows = connection.execute(_CLAIMS, {"keys": keys})
    return {row.key.removeprefix(CLAIM_PREFIX): row.note for row in rows if _holds(row.holder, row.expired)}


def _holds(holder: str, expired: bool) -> bool:
    alive = is_alive(Identity.from_text(holder))
    return not expired if alive is None else alive
