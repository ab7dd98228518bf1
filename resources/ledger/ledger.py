"""The ledger as the rest of the house uses it: one object, one method a question or deed.

Belongs here: which connection and transaction each needs, and what a database that is gone turns into. Does not belong
here: the statements (the modules beside this one).

Most deeds are one statement and one round trip. What may be done twice is, where the server dies under it; the rest is
a `Transient`. An object may be used by many threads and by forked children.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from processing.failures import Transient
from resources.identity import Identity
from resources.ledger import (
    arrivals,
    attempts,
    corrections,
    decisions,
    history,
    leases,
    migrate,
    moves,
    prints,
    queries,
    rebuild,
)
from resources.ledger.rows import (
    Action,
    Arrival,
    AssetRow,
    DecisionKind,
    Incoming,
    KnownFile,
    Lease,
    Progress,
    Registration,
    SourceRow,
    Stop,
    Unfinished,
    Used,
)
from resources.ledger.states import AssetState
from resources.postgres.database import each_statement_alone
from resources.postgres.database import engine as make_engine

RECONNECT_S = 15.0  # a killed server is back within a second once its supervisor notices
RECONNECT_PAUSE_S = 0.1
CLAIM_TTL_S = 3600.0  # of runs on other machines; local ones are judged by being alive
FOUND_LIMIT = 50
NO_RESOURCES = "53"  # classes of SQLSTATE (PostgreSQL, appendix A): disk, memory, connections
GONE = ("08", "57")  # connections, and a server that is going down
T = TypeVar("T")


class Ledger:
    """State and history of everything. Made by `open`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Ledger:
        """The ledger in the database at `url`, made or upgraded where it is not current.

        Raises `migrate.NewerLedger`, and `Transient` where the database does not answer.
        """
        engine = make_engine(url)
        ledger = cls(engine)
        with ledger._statement():
            pass
        with _told_as_failures():
            migrate.migrate(engine)
        return ledger

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def register(
        self,
        arrival: Arrival,
        *,
        content: str,
        job: str,
        assets: Sequence[str],
        options: Mapping[str, Any] | None = None,
        priority: int = 0,
        title: str | None = None,
        language: str | None = None,
        tags: Sequence[str] = (),
    ) -> Registration:
        """Record one arrival; see `register_many`."""
        incoming = Incoming(
            arrival=arrival,
            content=content,
            job=job,
            assets=tuple(assets),
            options=options or {},
            priority=priority,
            title=title,
            language=language,
            tags=tuple(tags),
        )
        return self.register_many([incoming])[0]

    def register_many(self, incoming: Sequence[Incoming]) -> list[Registration]:
        """Record arrivals, all or none; what each became, in the same order. Telling one twice changes nothing."""
        with self._transaction() as connection:
            return arrivals.register(connection, incoming)

    def known_files(self, prefix: str) -> dict[str, KnownFile]:
        """What is known of the files whose location begins with `prefix`, by location."""
        return self._repeatable(lambda connection: arrivals.known_files(connection, prefix))

    def leave_alone(self, files: Mapping[str, tuple[int, int]], *, actor: str) -> None:
        """Note files (location to bytes and mtime in ns) that were looked at and are no sources."""
        with self._transaction() as connection:
            arrivals.leave_alone(connection, files, actor)

    def source(self, key: str) -> SourceRow:
        """One source. Raises `moves.UnknownSource`."""
        return self._repeatable(lambda connection: queries.source(connection, key))

    def sources(
        self,
        *,
        state: AssetState | None = None,
        content: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[SourceRow]:
        """Sources in order of registration: with an asset in `state`, of `content`, `limit` of them `after` a key."""
        return self._repeatable(
            lambda connection: queries.sources(connection, state=state, content=content, after=after, limit=limit)
        )

    def latest(
        self,
        *,
        state: AssetState | None = None,
        job: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[SourceRow]:
        """Sources that are current in their place, the latest first, from before the source `before` on."""
        return self._repeatable(
            lambda connection: queries.latest(connection, state=state, job=job, before=before, limit=limit)
        )

    def find_sources(self, said: str, *, location: str | None = None) -> list[SourceRow]:
        """The source of that key, else those whose key begins so and the current one at `location`; 50 at most."""
        return self._repeatable(lambda connection: queries.find_sources(connection, said, location, FOUND_LIMIT))

    def states(self, source: str) -> dict[str, AssetRow]:
        """The states of a source's assets, in the order of registration; empty for an unknown source."""
        return self.states_of([source])[source]

    def states_of(self, sources: Sequence[str]) -> dict[str, dict[str, AssetRow]]:
        """The states of many sources' assets."""
        return self._repeatable(lambda connection: queries.states(connection, sources))

    def move(
        self,
        source: str,
        asset: str,
        to: AssetState,
        *,
        actor: str,
        cause: str | None = None,
        run_id: str | None = None,
        recipe_hash: str | None = None,
        data_version: str | None = None,
        uri: str | None = None,
        wake_after_s: float | None = None,
    ) -> AssetState:
        """Move one asset; the state it was in.

        An asset the source did not have is registered first. Raises `IllegalMove`, `moves.UnknownSource`.
        """
        move = moves.Move(
            to=to,
            actor=actor,
            cause=cause,
            run_id=run_id,
            recipe_hash=recipe_hash,
            data_version=data_version,
            uri=uri,
            wake_after_s=wake_after_s,
        )
        return self._move(source, [asset], move)[asset]

    def move_many(
        self,
        source: str,
        assets: Sequence[str],
        to: AssetState,
        *,
        actor: str,
        cause: str | None = None,
        run_id: str | None = None,
        wake_after_s: float | None = None,
    ) -> Mapping[str, AssetState]:
        """Move several assets of a source, all or none; the states they were in. Raises as `move`."""
        move = moves.Move(to=to, actor=actor, cause=cause, run_id=run_id, wake_after_s=wake_after_s)
        return self._move(source, assets, move)

    def news(self, after: int | None) -> tuple[int, list[str]]:
        """The number of the newest move, and which sources were moved since `after`; see `queries.news`."""
        return self._repeatable(lambda connection: queries.news(connection, after))

    def unfinished(self) -> list[Unfinished]:
        """Sources with work that can go on now, no live run and nobody's stop, the most urgent first."""
        return self._repeatable(queries.unfinished)

    def next_runs(self, sources: Sequence[str], *, job: str, actor: str) -> dict[str, str]:
        """Number the next run of each source, for good: source to run key `source:generation:attempt`."""
        with self._statement() as connection:
            return queries.next_runs(connection, sources, job, actor)

    def claim_run(
        self, source: str, run_id: str, identity: Identity, *, after: str | None = None, ttl_s: float = CLAIM_TTL_S
    ) -> bool:
        """Make this the one run at work on the source; False while another one lives.

        A claim named `after` is taken over: whoever holds it has asked for this run. What a run that died had begun is
        queued again.
        """
        with self._transaction() as connection:
            held = leases.live_claims(connection, [source]).get(source)
            if held is not None and held == after:
                leases.release_claim(connection, source, held)
            if not leases.try_claim(connection, source, run_id, identity, ttl_s):
                return False
            if held != run_id:
                cause = "the run before was interrupted"
                move = moves.Move(to=AssetState.QUEUED, actor="ledger", cause=cause, run_id=run_id)
                moves.sweep(connection, [source], {AssetState.RUNNING}, move)
            return True

    def release_run(self, source: str, run_id: str) -> bool:
        """Give the source back; False where another run has it."""
        with self._statement() as connection:
            return leases.release_claim(connection, source, run_id)

    def drop_dead_leases(self) -> int:
        """Remove what processes that are gone held; how many leases."""
        with self._transaction() as connection:
            return leases.drop_dead(connection)

    def requeue_abandoned(self, *, actor: str) -> int:
        """Queue again what is called running though no live run has its source; how many assets."""
        with self._transaction() as connection:
            running = queries.sources_in(connection, AssetState.RUNNING)
            busy = leases.live_claims(connection, running) if running else {}
            left = [source for source in running if source not in busy]
            if not left:
                return 0
            move = moves.Move(to=AssetState.QUEUED, actor=actor, cause="the run before was interrupted")
            return moves.sweep(connection, left, {AssetState.RUNNING}, move)

    def house_started(self, *, actor: str, reason: str) -> None:
        """Note that work goes on after a stop or a kill of everything: runs that ended so count against no source."""
        self.decide(DecisionKind.RESUMED, actor=actor, reason=reason)

    def live_claims(self, sources: Iterable[str] | None = None) -> dict[str, str]:
        """Which of the sources (or of all) have a live run: source to run id."""
        return self._repeatable(lambda connection: leases.live_claims(connection, sources))

    def try_lease(self, key: str, identity: Identity, *, ttl_s: float, own_is_free: bool = False) -> Lease | None:
        """Take the lease on `key`, or None while its holder lives. `ttl_s` matters to other machines only.

        `own_is_free` says that nothing in this process holds it, whatever the ledger has.
        """
        with self._statement() as connection:
            return leases.try_lease(connection, key, identity, ttl_s, None, own_is_free=own_is_free)

    def renew(self, lease: Lease, *, ttl_s: float) -> bool:
        """Hold on for `ttl_s` seconds from now; False where somebody else has it by now."""
        with self._statement() as connection:
            return leases.renew(connection, lease, ttl_s)

    def release(self, lease: Lease) -> bool:
        """Give the lease back; False, and nothing happens, where somebody else has it by now."""
        with self._statement() as connection:
            return leases.release(connection, lease)

    def attempt_started(
        self,
        *,
        source: str,
        asset: str,
        recipe_hash: str,
        unit: str | None = None,
        run_id: str | None = None,
        call_id: str | None = None,
        correlation: str | None = None,
    ) -> int:
        """Record that work begins; the attempt's number."""
        attempt = attempts.Attempt(
            source=source,
            asset=asset,
            recipe_hash=recipe_hash,
            unit=unit,
            run_id=run_id,
            call_id=call_id,
            correlation=correlation,
        )
        with self._statement() as connection:
            return attempts.started(connection, attempt)

    def attempt_ended(self, attempt: int, *, outcome: str, cause: str | None = None, **used: Any) -> None:
        """Record how an attempt ended: `succeeded` or a failure's kind; `used` are fields of `AttemptEnd`."""
        end = attempts.AttemptEnd(attempt=attempt, outcome=outcome, cause=cause, **used)
        self.attempts_ended([end])

    def attempts_ended(self, ends: Sequence[attempts.AttemptEnd]) -> None:
        """Record how several attempts ended, in one round trip."""
        with self._statement() as connection:
            attempts.ended(connection, ends)

    def usage(
        self, *, source: str | None = None, call_id: str | None = None, run_id: str | None = None
    ) -> dict[str, Used]:
        """What attempts used, by asset: those at a source, of a call, of a run."""
        return self._repeatable(lambda connection: attempts.usage(connection, source, call_id, run_id))

    def made_with(self, recipes: Mapping[str, Iterable[str]]) -> dict[str, Used]:
        """What the attempts at recipes used, whoever made them: the caller's names to recipe hashes."""
        return self._repeatable(lambda connection: attempts.made_with(connection, recipes))

    def events_of(self, source: str, *, limit: int) -> list[history.Event]:
        """What happened to a source, the latest first."""
        return self._repeatable(lambda connection: history.events(connection, source, limit))

    def recipes_of(self, source: str) -> dict[str, list[history.Made]]:
        """The recipes that each asset of a source was made by, the first one first."""
        return self._repeatable(lambda connection: history.recipes(connection, source))

    def settings_since(self, since: datetime) -> list[history.Setting]:
        """Settings that were changed since then, the latest first."""
        return self._repeatable(lambda connection: history.settings_since(connection, since))

    def has_passed(self, sha256: str) -> bool:
        """Whether a release of a model passed the golden set of its task, the last time it was held against it."""
        return self._repeatable(lambda connection: queries.has_passed(connection, sha256))

    def waited_s(self, source: str, asset: str) -> float | None:
        """How long ago an asset that is not settled began to wait; None where it did not."""
        return self._repeatable(lambda connection: queries.waited_s(connection, source, asset))

    def progress(self, source: str, asset: str, *, done_s: float, total_s: float) -> None:
        """Note how far an asset is, in media seconds. Not part of the record."""
        self._repeatable(lambda connection: queries.set_progress(connection, source, asset, Progress(done_s, total_s)))

    def progress_of(self, sources: Iterable[str]) -> dict[str, dict[str, Progress]]:
        """How far assets are, by source and asset."""
        return self._repeatable(lambda connection: queries.progress(connection, sources))

    def decide(
        self,
        kind: DecisionKind,
        *,
        actor: str,
        reason: str,
        source: str | None = None,
        asset: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> int:
        """Put a decision on record; its number."""
        decision = decisions.Decision(
            kind=kind, actor=actor, reason=reason, source=source, asset=asset, payload=payload or {}
        )
        with self._statement() as connection:
            return decisions.record(connection, [decision])[0]

    def control(self, source: str, action: str, *, actor: str, reason: str) -> str:
        """Cancel, retry, pause, resume or hurry a source; one sentence about what happened.

        Raises `moves.UnknownSource`, ValueError for another action.
        """
        with self._transaction() as connection:
            runs = bool(leases.live_claims(connection, [source]))
            return decisions.control(connection, source, Action(action), actor, reason, runs=runs)

    def corrections(self, source: str, asset: str) -> corrections.Corrections | None:
        """What people corrected of an asset's words, None where nobody ever did."""
        return self._repeatable(lambda connection: corrections.corrections(connection, source, asset))

    def correct(
        self,
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
        """Record a correction; the asset and what came of it are stale then. See `corrections.correct`."""
        with self._transaction() as connection:
            corrections.correct(
                connection,
                source,
                asset,
                author=author,
                version=version,
                uncorrected=uncorrected,
                texts=texts,
                accepted=accepted,
                came_of_it=came_of_it,
            )

    def outdate(self, source: str, assets: Sequence[str], *, actor: str, cause: str) -> int:
        """Let assets of a source be made anew at once, where they are done or ended badly; how many."""
        with self._transaction() as connection:
            return moves.outdate(connection, source, assets, actor=actor, cause=cause)

    def stop_requested(self, source: str) -> Stop | None:
        """Why work on the source should stop at the next chunk, or None. Cheap: runs ask it often."""
        return self._repeatable(lambda connection: decisions.stop_requested(connection, source))

    @contextmanager
    def held_stop(self, source: str) -> Iterator[Stop | None]:
        """Why work on the source should stop, which stays true inside the `with`: a person's word waits until then."""
        with self._transaction() as connection:
            yield decisions.hold_stop(connection, source)

    def settings_changed(self, settings: Mapping[str, Any], *, actor: str) -> list[str]:
        """Record the settings of this start; the names of those that changed since the last, each a decision."""
        with self._transaction() as connection:
            return decisions.settings_changed(connection, settings, actor)

    def rebuild(self) -> None:
        """Make the derived state anew from the record."""
        with self._transaction() as connection:
            rebuild.rebuild(connection)

    def _move(self, source: str, assets: Sequence[str], move: moves.Move) -> Mapping[str, AssetState]:
        if not assets:
            return {}
        before = self._repeatable(lambda connection: moves.try_move(connection, source, assets, move))
        if before is not None:
            return before
        with self._transaction() as connection:
            moves.lock_source(connection, source)
            moves.add_assets(connection, [(source, asset) for asset in dict.fromkeys(assets)], move.actor)
            before = moves.try_move(connection, source, assets, move)
            assert before is not None
            return before

    def unprinted(self, asset: str, *, limit: int) -> list[str]:
        """Recipe hashes of ready artifacts of `asset` whose prints are not in the database yet."""
        return self._repeatable(lambda connection: prints.unprinted(connection, asset, limit))

    def add_prints(self, artifact: str, found: Iterable[prints.Print]) -> None:
        """Put the prints of one artifact in, all or none."""
        with self._transaction() as connection:
            prints.add(connection, artifact, found)

    def print_count(self, artifact: str) -> int:
        """How many prints of an artifact can be compared."""
        return self._repeatable(lambda connection: prints.count(connection, artifact))

    def near_prints(self, artifact: str, *, within: int, limit: int) -> list[prints.Near]:
        """Artifacts with prints at most `within` bits from this one's, those with most matches first."""
        return self._repeatable(lambda connection: prints.near(connection, artifact, within, limit))

    def sources_of_artifacts(self, asset: str, artifacts: Sequence[str]) -> dict[str, list[str]]:
        """The sources whose `asset` is one of these, by recipe hash."""
        return self._repeatable(lambda connection: prints.sources_of(connection, asset, artifacts))

    @contextmanager
    def _statement(self) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction."""
        with _told_as_failures(), self._connected() as connection, each_statement_alone(connection):
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _told_as_failures(), self._connected() as connection, connection.begin():
            yield connection

    def _repeatable(self, work: Callable[[Connection], T]) -> T:
        """Do one statement that may be done twice; once more where the server died under it."""
        with _told_as_failures():
            connection = self._connected()
            try:
                with connection, each_statement_alone(connection):
                    return work(connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            with self._connected() as connection, each_statement_alone(connection):
                return work(connection)

    def _connected(self) -> Connection:
        """A connection, waiting for a server that is being started again: nothing was sent yet, so nothing is lost."""
        until = time.monotonic() + RECONNECT_S
        while True:
            try:
                return self._engine.connect()
            except OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(RECONNECT_PAUSE_S)


@contextmanager
def _told_as_failures() -> Iterator[None]:
    """A database that is gone or full is a failure of the house's own taxonomy; an error in a statement stays one."""
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "pgcode", None) or ""
        if state.startswith(NO_RESOURCES):
            raise Transient(
                "the database has no room",
                cure="free space where its data lies; the work goes on by itself",
                detail=str(error),
            ) from error
        is_gone = not state or state.startswith(GONE)
        if not (is_gone and isinstance(error, OperationalError | InterfaceError)) and not error.connection_invalidated:
            raise
        raise Transient(
            "the database does not answer",
            cure="start it, or wait until it is back; nothing is lost",
            detail=str(error),
        ) from error
