"""Moves, runs, leases, attempts and decisions, on a real PostgreSQL."""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from processing.failures import Transient
from resources.identity import Identity
from resources.ledger import migrate
from resources.ledger.decisions import PAUSED
from resources.ledger.ledger import Ledger
from resources.ledger.moves import UnknownSource
from resources.ledger.rows import Action, Arrival, DecisionKind, Incoming, Stop
from resources.ledger.states import AssetState, IllegalMove, is_legal
from resources.ledger.tables import DERIVED, RECORD, metadata
from resources.postgres.database import engine
from tests.database import execute

START = datetime(2026, 1, 1, tzinfo=UTC)
ASSETS = ("source", "media_info", "hls")
numbers = itertools.count()
fork = multiprocessing.get_context("fork")


def arrive(ledger, *, location="/in/film.mp4", content="aa", at=0, assets=ASSETS, priority=0):
    arrival = Arrival(location=location, size_bytes=2, mtime_ns=7, actor="test", seen_at=START + timedelta(seconds=at))
    return ledger.register(arrival, content=content, job="video", assets=assets, priority=priority).source_key


def move(ledger, key, asset, to, **more):
    return ledger.move(key, asset, to, actor="test", **more)


def states(ledger, key):
    return {name: row.state.value for name, row in ledger.states(key).items()}


def dead_identity():
    child = fork.Process(target=int)
    child.start()
    identity = Identity.current()
    gone = Identity(identity.host, identity.boot_id, child.pid, identity.started)
    child.join()
    return gone


def elsewhere():
    return Identity("another-machine", "boot", 1, 1)


# Moves


def test_a_move_is_kept_with_all_that_was_said(ledger, ledger_url):
    key = arrive(ledger)
    before = move(ledger, key, "hls", AssetState.RUNNING, run_id="r1")
    assert before is AssetState.REGISTERED
    move(ledger, key, "hls", AssetState.READY, run_id="r1", recipe_hash="h", data_version="d", uri="u", cause="c\0d")
    row = ledger.states(key)["hls"]
    assert (row.state, row.run_id, row.recipe_hash, row.data_version, row.uri, row.cause) == (
        AssetState.READY, "r1", "h", "d", "u", "cd",
    )  # fmt: skip
    assert execute(
        ledger_url, "SELECT from_state, to_state, actor FROM ledger.transitions WHERE asset = 'hls' ORDER BY seq"
    ) == [(None, "registered", "test"), ("registered", "running", "test"), ("running", "ready", "test")]


def test_an_illegal_move_raises_and_changes_nothing(ledger, ledger_url):
    key = arrive(ledger)
    move(ledger, key, "hls", AssetState.READY)
    rows = execute(ledger_url, "SELECT count(*) FROM ledger.transitions")
    with pytest.raises(IllegalMove, match=f"hls of {key} is ready and cannot become cancelled"):
        ledger.move_many(key, ["source", "hls", "media_info"], AssetState.CANCELLED, actor="test")
    assert states(ledger, key) == {"source": "registered", "media_info": "registered", "hls": "ready"}
    assert execute(ledger_url, "SELECT count(*) FROM ledger.transitions") == rows


def test_the_ledger_allows_exactly_the_moves_of_the_table(ledger, ledger_url):
    for to in AssetState:
        key = arrive(ledger, location=f"/in/{to}", assets=list(AssetState))
        execute(ledger_url, "UPDATE ledger.asset_states SET state = asset WHERE source = %s", key)
        for before in AssetState:
            try:
                move(ledger, key, before.value, to)
                moved = True
            except IllegalMove:
                moved = False
            assert moved == is_legal(before, to), (before, to)


def test_what_is_known_of_the_last_artifact_stays_while_a_new_one_is_made(ledger):
    key = arrive(ledger)
    move(ledger, key, "hls", AssetState.READY, recipe_hash="h", uri="u")
    move(ledger, key, "hls", AssetState.RUNNING)
    assert ledger.states(key)["hls"].recipe_hash == "h"
    move(ledger, key, "hls", AssetState.NOT_APPLICABLE, cause="no picture")
    assert ledger.states(key)["hls"].recipe_hash is None


def test_an_asset_asked_for_later_is_registered_by_its_first_move(ledger):
    key = arrive(ledger)
    assert move(ledger, key, "poster", AssetState.RUNNING) is AssetState.REGISTERED
    assert list(states(ledger, key)) == [*ASSETS, "poster"]


def test_a_move_of_an_unknown_source_is_refused(ledger):
    with pytest.raises(UnknownSource):
        move(ledger, "nothing", "hls", AssetState.RUNNING)


def test_of_two_who_start_at_once_both_moves_are_in_the_record_in_order(ledger, ledger_url):
    """Without the row lock the second would log a state that no longer held."""
    key = arrive(ledger)
    threads = [
        threading.Thread(target=lambda: [move(ledger, key, "hls", AssetState.RUNNING) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = execute(ledger_url, "SELECT from_state, to_state FROM ledger.transitions WHERE asset = 'hls' ORDER BY seq")
    assert len(rows) == 81
    assert all(row[0] == before[1] for before, row in itertools.pairwise(rows))


def test_only_one_of_many_rivals_makes_an_exclusive_move(ledger):
    key = arrive(ledger)
    won = []

    def rival():
        try:
            move(ledger, key, "hls", AssetState.CANCELLED)
            move(ledger, key, "hls", AssetState.FORGOTTEN)
            won.append(1)
        except IllegalMove:
            pass

    threads = [threading.Thread(target=rival) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(ledger, key)["hls"] == "forgotten"
    assert won


# Runs


def test_what_is_left_to_do_is_found_most_urgent_first(ledger):
    slow, fast, done = (
        arrive(ledger, location="/a"),
        arrive(ledger, location="/b", priority=5),
        arrive(ledger, location="/c"),
    )
    for asset in ASSETS:
        move(ledger, done, asset, AssetState.READY)
    move(ledger, slow, "source", AssetState.READY)
    found = ledger.unfinished()
    assert [(item.source_key, item.assets) for item in found] == [(fast, ASSETS), (slow, ASSETS[1:])]
    ledger.control(slow, "hurry", actor="test", reason="asked")
    assert [item.source_key for item in ledger.unfinished()] == [slow, fast]


def test_a_wait_is_over_when_its_time_has_come(ledger):
    key = arrive(ledger, assets=["hls"])
    move(ledger, key, "hls", AssetState.WAITING, wake_after_s=0.2)
    assert ledger.unfinished() == []
    time.sleep(0.25)
    assert [item.assets for item in ledger.unfinished()] == [("hls",)]


def test_a_wait_without_a_time_is_for_a_person(ledger):
    key = arrive(ledger, assets=["hls"])
    move(ledger, key, "hls", AssetState.WAITING)
    assert ledger.unfinished() == []


def test_run_keys_never_repeat_and_begin_anew_with_a_generation(ledger):
    key = arrive(ledger)
    ask = lambda k: ledger.next_runs([k], job="video", actor="test")[k]  # noqa: E731
    assert [ask(key), ask(key)] == [f"{key}:1:1", f"{key}:1:2"]
    assert ledger.unfinished()[0].run_key == f"{key}:1:2"
    newer = arrive(ledger, content="bb", at=1)
    assert ask(newer) == f"{newer}:2:1"


def test_interrupted_runs_are_counted_until_one_gets_somewhere(ledger):
    key = arrive(ledger)
    restarts = lambda: ledger.unfinished()[0].restarts  # noqa: E731
    for expected in (1, 2, 3):
        ledger.next_runs([key], job="video", actor="test")
        move(ledger, key, "hls", AssetState.RUNNING)
        assert restarts() == expected
    attempt = ledger.attempt_started(source=key, asset="hls", recipe_hash="h")
    ledger.attempt_ended(attempt, outcome="sick_worker")
    assert restarts() == 3
    attempt = ledger.attempt_started(source=key, asset="hls", recipe_hash="h")
    ledger.attempt_ended(attempt, outcome="succeeded")
    assert restarts() == 0
    ledger.next_runs([key], job="video", actor="test")
    assert restarts() == 1
    move(ledger, key, "source", AssetState.READY)
    assert restarts() == 0


def test_one_run_at_a_time_is_at_work_on_a_source(ledger):
    key, me = arrive(ledger), Identity.current()
    assert ledger.claim_run(key, "r1", me)
    assert ledger.claim_run(key, "r1", me)
    assert not ledger.claim_run(key, "r2", me)
    assert ledger.unfinished() == []
    assert ledger.live_claims() == {key: "r1"}
    assert not ledger.release_run(key, "r2")
    assert ledger.release_run(key, "r1")
    assert [item.source_key for item in ledger.unfinished()] == [key]


def test_a_run_that_was_killed_leaves_its_source_free_and_its_assets_queued(ledger):
    key = arrive(ledger)
    assert ledger.claim_run(key, "r1", dead_identity())
    move(ledger, key, "hls", AssetState.RUNNING, run_id="r1")
    assert [item.source_key for item in ledger.unfinished()] == [key]
    assert ledger.claim_run(key, "r2", Identity.current())
    row = ledger.states(key)["hls"]
    assert (row.state, row.cause) == (AssetState.QUEUED, "the run before was interrupted")


def test_claiming_again_does_not_disturb_what_the_run_does(ledger):
    key, me = arrive(ledger), Identity.current()
    ledger.claim_run(key, "r1", me)
    move(ledger, key, "hls", AssetState.RUNNING)
    assert ledger.claim_run(key, "r1", me)
    assert states(ledger, key)["hls"] == "running"


# Leases


def test_a_lease_is_held_by_one(ledger):
    me = Identity.current()
    lease = ledger.try_lease("recipe", me, ttl_s=60)
    assert lease is not None
    assert ledger.try_lease("recipe", me, ttl_s=60) is None
    assert ledger.try_lease("other", me, ttl_s=60) is not None
    assert ledger.release(lease)
    again = ledger.try_lease("recipe", me, ttl_s=60)
    assert again is not None
    assert again.fence > lease.fence


def test_a_killed_local_holder_loses_its_lease_at_once(ledger):
    lost = ledger.try_lease("recipe", dead_identity(), ttl_s=3600)
    taken = ledger.try_lease("recipe", Identity.current(), ttl_s=3600)
    assert taken is not None
    assert not ledger.release(lost)
    assert not ledger.renew(lost, ttl_s=60)
    assert ledger.renew(taken, ttl_s=60)
    assert ledger.release(taken)


def test_a_living_local_holder_keeps_its_lease_past_the_expiry(ledger):
    assert ledger.try_lease("recipe", Identity.current(), ttl_s=0.01)
    time.sleep(0.05)
    assert ledger.try_lease("recipe", Identity.current(), ttl_s=60) is None


def test_a_holder_on_another_machine_loses_its_lease_when_it_expires(ledger):
    lease = ledger.try_lease("recipe", elsewhere(), ttl_s=0.3)
    assert ledger.try_lease("recipe", Identity.current(), ttl_s=60) is None
    assert ledger.renew(lease, ttl_s=0.3)
    time.sleep(0.35)
    assert ledger.try_lease("recipe", Identity.current(), ttl_s=60) is not None


@pytest.mark.parametrize("round_number", range(4))
def test_of_many_rivals_for_a_dead_ones_lease_one_gets_it(ledger, round_number):
    ledger.try_lease("recipe", dead_identity(), ttl_s=60)
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(ledger.try_lease("recipe", Identity.current(), ttl_s=60)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in got) == 1


# Attempts


def test_what_attempts_used_adds_up_by_asset(ledger):
    key = arrive(ledger)
    for unit, outcome in (("0", "succeeded"), ("1", "sick_worker"), ("1", "succeeded")):
        attempt = ledger.attempt_started(
            source=key, asset="hls", recipe_hash=f"h{unit}", unit=unit, run_id="r", call_id="c", correlation="a1"
        )
        ledger.attempt_ended(
            attempt, outcome=outcome, wall_s=1.5, cpu_s=2.0, peak_memory_bytes=10 + int(unit), bytes_in=1, bytes_out=2,
            encoder_calls=4, media_s=6.0,
        )  # fmt: skip
    killed = ledger.attempt_started(source=key, asset="hls", recipe_hash="h2", call_id="c")
    assert killed > attempt
    used = ledger.usage(call_id="c")["hls"]
    assert (used.attempts, used.wall_s, used.cpu_s, used.peak_memory_bytes) == (4, 4.5, 6.0, 11)
    assert (used.bytes_in, used.bytes_out, used.encoder_calls, used.media_s) == (3, 6, 12, 18.0)
    assert ledger.usage(source=key, run_id="r")["hls"].attempts == 3
    assert ledger.usage(call_id="another") == {}


def test_what_artifacts_took_is_found_by_recipe_whoever_made_them(ledger):
    for recipe, calls in (("h0", 1), ("h1", 2), ("zz", 4)):
        attempt = ledger.attempt_started(source="somebody", asset="chunks", recipe_hash=recipe)
        ledger.attempt_ended(attempt, outcome="succeeded", encoder_calls=calls)
    used = ledger.made_with({"chunks": ["h0", "h1", "h1", "absent"], "poster": ["absent"]})
    assert {name: item.encoder_calls for name, item in used.items()} == {"chunks": 3}
    assert ledger.made_with({}) == {}


def test_an_attempt_ends_only_in_a_way_the_taxonomy_knows(ledger):
    attempt = ledger.attempt_started(source="s", asset="a", recipe_hash="h")
    with pytest.raises(ValueError, match="cannot end as 'ok'"):
        ledger.attempt_ended(attempt, outcome="ok")


# Decisions


def test_cancelling_stops_what_has_not_begun_and_tells_the_run_about_the_rest(ledger, ledger_url):
    key = arrive(ledger)
    ledger.claim_run(key, "r", Identity.current())
    move(ledger, key, "source", AssetState.READY)
    move(ledger, key, "media_info", AssetState.RUNNING)
    assert ledger.stop_requested(key) is None
    sentence = ledger.control(key, "cancel", actor="ann", reason="wrong file")
    assert sentence.startswith("is cancelled; what is published stays")
    assert states(ledger, key) == {"source": "ready", "media_info": "running", "hls": "cancelled"}
    assert ledger.stop_requested(key) is Stop.CANCEL
    assert ledger.unfinished() == []
    assert execute(ledger_url, "SELECT actor, reason FROM ledger.decisions WHERE kind = 'cancelled'") == [
        ("ann", "wrong file")
    ]


def test_cancelling_a_source_whose_run_was_killed_leaves_nothing_running(ledger):
    key = arrive(ledger)
    ledger.claim_run(key, "r", dead_identity())
    move(ledger, key, "hls", AssetState.RUNNING)
    ledger.control(key, "cancel", actor="test", reason="asked")
    assert set(states(ledger, key).values()) == {"cancelled"}


def test_what_is_all_made_has_nothing_to_cancel(ledger):
    """It was said to be cancelled and was not; when its file was replaced and came back, the word took hold."""
    key = arrive(ledger, assets=("hls",))
    move(ledger, key, "hls", AssetState.READY)
    sentence = ledger.control(key, "cancel", actor="test", reason="asked")
    assert sentence == "has no work that could be cancelled; it stays as it is"
    assert ledger.stop_requested(key) is None


def test_a_cancelled_source_comes_back_by_retry_only(ledger):
    key = arrive(ledger)
    ledger.control(key, "cancel", actor="test", reason="asked")
    for action in ("hurry", "pause"):
        ledger.control(key, action, actor="test", reason="asked")
        assert set(states(ledger, key).values()) == {"cancelled"}
    ledger.control(key, "retry", actor="test", reason="asked")
    assert ledger.stop_requested(key) is None
    assert set(states(ledger, key).values()) == {"registered"}


@pytest.mark.parametrize("action", ["retry", "hurry"])
def test_a_paused_source_goes_on_when_told(ledger, action):
    key = arrive(ledger)
    move(ledger, key, "source", AssetState.READY)
    ledger.control(key, "pause", actor="test", reason="asked")
    assert ledger.stop_requested(key) is Stop.PAUSE
    assert states(ledger, key) == {"source": "ready", "media_info": "waiting", "hls": "waiting"}
    assert ledger.unfinished() == []
    ledger.control(key, action, actor="test", reason="asked")
    assert ledger.stop_requested(key) is None
    assert states(ledger, key) == {"source": "ready", "media_info": "registered", "hls": "registered"}


@pytest.mark.parametrize(("action", "put_aside"), [("hurry", AssetState.WAITING), ("retry", AssetState.CANCELLED)])
def test_who_resumes_while_a_run_puts_its_work_aside_resumes_that_too(ledger, action, put_aside):
    """A run that had just been told to stop left its asset paused for ever where the resume came in between."""
    key = arrive(ledger, assets=("hls",))
    ledger.claim_run(key, "r", Identity.current())
    move(ledger, key, "hls", AssetState.RUNNING)
    ledger.control(key, "pause" if action == "hurry" else "cancel", actor="test", reason="asked")
    words = {"actor": "ann", "reason": "asked"}
    resuming = threading.Thread(target=ledger.control, args=(key, action), kwargs=words)
    with ledger.held_stop(key) as stopped:
        assert stopped is not None
        resuming.start()
        resuming.join(timeout=0.3)
        move(ledger, key, "hls", put_aside, cause=PAUSED)
    resuming.join(timeout=10)
    assert ledger.stop_requested(key) is None
    assert states(ledger, key) == {"hls": "registered"}


def test_retry_tries_again_what_ended_badly_and_leaves_what_is_ready(ledger):
    key = arrive(ledger)
    move(ledger, key, "source", AssetState.READY)
    move(ledger, key, "media_info", AssetState.QUARANTINED)
    move(ledger, key, "hls", AssetState.BOUNDED)
    ledger.control(key, Action.RETRY, actor="test", reason="asked")
    assert states(ledger, key) == {"source": "ready", "media_info": "registered", "hls": "registered"}


def test_a_superseded_source_is_no_longer_worked_on(ledger):
    key = arrive(ledger)
    arrive(ledger, content="bb", at=1)
    assert ledger.stop_requested(key) is Stop.SUPERSEDE


def test_control_of_what_is_not_there_is_refused(ledger):
    with pytest.raises(UnknownSource):
        ledger.control("nothing", "cancel", actor="test", reason="asked")
    with pytest.raises(ValueError, match="explode"):
        ledger.control(arrive(ledger), "explode", actor="test", reason="asked")


def test_a_decision_is_kept_with_its_payload(ledger, ledger_url):
    ledger.decide(
        DecisionKind.PUBLISHED, actor="run", reason="complete", source="s", asset="release", payload={"a": [1]}
    )
    assert execute(ledger_url, "SELECT kind, actor, reason, source, asset, payload FROM ledger.decisions") == [
        ("published", "run", "complete", "s", "release", {"a": [1]})
    ]


def test_settings_that_changed_since_the_last_start_are_decisions(ledger, ledger_url):
    first = {"port": 3000, "ladder": None, "database_url": "postgresql://me:secret@host/db"}
    assert ledger.settings_changed(first, actor="up") == []
    assert ledger.settings_changed(first, actor="up") == []
    assert ledger.settings_changed({**first, "port": 3001, "new": 1}, actor="up") == ["port"]
    assert ledger.settings_changed({**first, "port": 3001, "new": 1}, actor="up") == []
    assert execute(ledger_url, "SELECT kind, payload FROM ledger.decisions") == [
        ("configured", {"setting": "port", "before": 3000, "after": 3001})
    ]
    assert "secret" not in str(execute(ledger_url, "SELECT value FROM ledger.settings_seen"))


def test_progress_is_the_last_that_was_said(ledger):
    for done_s in (1.0, 2.5):
        ledger.progress("s", "chunks", done_s=done_s, total_s=10.0)
    found = ledger.progress_of(["s", "t"])
    assert {asset: (item.done_s, item.total_s) for asset, item in found["s"].items()} == {"chunks": (2.5, 10.0)}


# The record


@pytest.mark.parametrize("change", ["UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_record_is_only_ever_added_to(ledger_url, change):
    for table in RECORD:
        with pytest.raises(psycopg2.errors.IntegrityConstraintViolation, match=f"{table.name} is only ever added to"):
            execute(ledger_url, change.format(table.fullname))


def test_every_row_of_the_record_knows_its_transaction(ledger, ledger_url):
    """Sealing in lots goes by transaction: by number it loses rows that commit late."""
    arrive(ledger)
    for table in ("arrivals", "sources", "transitions", "decisions"):
        assert execute(
            ledger_url, f"SELECT count(DISTINCT tx::text), bool_and(tx < pg_current_xact_id()) FROM ledger.{table}"
        ) == [(1, True)]


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_migrations_make_what_the_tables_say(ledger_url):
    made = engine(ledger_url)
    with made.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": "ledger",
                "compare_type": True,
                # The index of prints is there where the server has pgvector.
                "include_name": lambda name, kind, _: name == "ledger" if kind == "schema" else name != "prints_near",
            },
        )
        assert compare_metadata(context, metadata) == []
    made.dispose()


def test_the_newest_revision_is_known_without_alembic():
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_opening_a_current_ledger_asks_one_question(ledger_url):
    made = engine(ledger_url)
    asked = []
    event.listen(made, "before_cursor_execute", lambda *args: asked.append(args[2]))
    migrate.migrate(made)
    assert len(asked) == 1
    made.dispose()


def test_a_ledger_of_a_newer_program_is_refused(ledger_url):
    execute(ledger_url, "UPDATE ledger.alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.NewerLedger, match="does not know"):
        Ledger.open(ledger_url)


def test_four_who_open_an_empty_database_at_once_all_get_a_ledger(database_url):
    def first(queue):
        ledger = Ledger.open(database_url)
        queue.put(arrive(ledger))

    queue = fork.SimpleQueue()
    children = [fork.Process(target=first, args=(queue,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert len({queue.get() for _ in children}) == 1


places = st.sampled_from(["/in/a", "/in/b"])
contents = st.sampled_from(["aa", "bb", "cc"])
assets = st.sampled_from(ASSETS)
deeds = st.one_of(
    st.tuples(st.just("arrive"), places, contents, st.integers(0, 20)),
    st.tuples(st.just("move"), st.integers(0, 5), assets, st.sampled_from(AssetState)),
    st.tuples(st.just("control"), st.integers(0, 5), st.sampled_from(Action), st.none()),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(deeds, min_size=5, max_size=40))
def test_state_rebuilt_from_the_record_is_the_state_that_was_kept(ledger, ledger_url, history):
    """Every history is told into the same ledger, at places of its own."""
    place = f"/{next(numbers)}"
    keys = [arrive(ledger, location=f"{place}/in/a")]
    for deed, what, which, how in history:
        if deed == "arrive":
            keys.append(arrive(ledger, location=place + what, content=which, at=how))
            continue
        key = keys[what % len(keys)]
        if deed == "control":
            ledger.control(key, which, actor="test", reason="asked")
            continue
        with contextlib.suppress(IllegalMove):
            move(ledger, key, which, how, recipe_hash=f"h{what}" if what % 2 else None, cause="c", wake_after_s=9)
    kept = {table.name: rows_of(ledger_url, table.name) for table in DERIVED}
    ledger.rebuild()
    assert {table.name: rows_of(ledger_url, table.name) for table in DERIVED} == kept


def rows_of(url, table):
    return sorted(
        json.dumps(row[0], sort_keys=True) for row in execute(url, f"SELECT to_jsonb(t) FROM ledger.{table} t")
    )


# Processes and databases that go away


def test_a_forked_child_uses_the_ledger_its_parent_opened(ledger):
    """With the parent's connections it would hang, or read the parent's answers."""
    key = arrive(ledger)
    threads = [threading.Thread(target=lambda: [states(ledger, key) for _ in range(50)]) for _ in range(2)]
    for thread in threads:
        thread.start()

    def child():
        for _ in range(20):
            move(ledger, key, "hls", AssetState.RUNNING)
            assert states(ledger, key)["hls"] == "running"

    children = [fork.Process(target=child) for _ in range(4)]
    for process in children:
        process.start()
    for process in children:
        process.join(30)
    for thread in threads:
        thread.join()
    assert [process.exitcode for process in children] == [0] * 4
    assert states(ledger, key)["hls"] == "running"


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_database_that_is_killed_and_started_again_is_not_noticed(own_server, delay_s):
    """Right after the kill the old backend may still answer one question and break at the next."""
    ledger = Ledger.open(own_server.start())
    key = arrive(ledger, location=f"/in/{next(numbers)}")
    os.kill(server_pid(own_server), signal.SIGKILL)
    time.sleep(delay_s)
    starter = threading.Timer(0.3, own_server.start)
    starter.start()
    for _ in range(20):
        assert states(ledger, key)["hls"] in {"registered", "running"}
        move(ledger, key, "hls", AssetState.RUNNING)
    starter.join()
    ledger.close()


def test_what_was_read_before_the_database_died_is_given_and_the_connection_is_not_lost(own_server):
    """The server dies between the answer and the return of the connection, oftener than the pool has connections."""
    ledger = Ledger.open(own_server.start())
    read = 0

    def killed_after_the_answer(connection):
        nonlocal read
        found = connection.exec_driver_sql("SELECT 1").scalar()
        if read % 2 == 0:
            os.kill(server_pid(own_server), signal.SIGKILL)
            time.sleep(0.05)
            own_server.start()
        read += 1
        return found

    for _ in range(20):
        assert ledger._repeatable(killed_after_the_answer) == 1
    assert read == 20
    assert ledger._engine.pool.checkedout() == 0
    ledger.close()


def test_a_database_that_is_gone_is_a_transient_failure_with_a_cure(own_server, monkeypatch):
    monkeypatch.setattr("resources.ledger.ledger.RECONNECT_S", 0.2)
    ledger = Ledger.open(own_server.start())
    own_server.stop()
    with pytest.raises(Transient) as gone:
        ledger.states("s")
    assert gone.value.sentence.startswith("the database does not answer; start it")
    ledger.close()


def server_pid(postgres):
    return int(Path(postgres.describe()["data"], "postmaster.pid").read_text().split()[0])


# What it costs


def test_a_run_of_twenty_assets_costs_the_ledger_little(ledger):
    """Orchestration is bounded at 2.5 CPU-s a run; the ledger's share is a sixteenth of it."""
    names = [f"asset{number}" for number in range(20)]
    count = 0

    def counted(*_):
        nonlocal count
        count += 1

    event.listen(ledger._engine, "before_cursor_execute", counted)
    key = arrive(ledger, assets=names)
    arrived = count
    ledger.claim_run(key, "r", Identity.current())
    for name in names:
        move(ledger, key, name, AssetState.RUNNING)
        move(ledger, key, name, AssetState.READY, recipe_hash="h")
    ledger.release_run(key, "r")
    assert arrived <= 8
    assert count < 60


def test_a_hundred_thousand_known_files_are_read_in_one_statement_and_new_ones_registered_in_a_few(ledger, ledger_url):
    execute(
        ledger_url,
        "INSERT INTO ledger.known_files"
        " SELECT '/inbox/some/folder/file-' || n || '.mp4', n, n, 'file-' || n || '-0123456789'"
        " FROM generate_series(1, 100000) n",
    )
    statements = []
    event.listen(ledger._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert len(ledger.known_files("/inbox/")) == 100_000
    assert len(statements) == 1
    lot = [
        Incoming(
            arrival=Arrival(location=f"/inbox/new-{n}", size_bytes=1, mtime_ns=1, actor="t"),
            content="aa", job="video", assets=ASSETS,
        )
        for n in range(10)
    ]  # fmt: skip
    ledger.register_many(lot)
    assert len(statements) < 20, statements
