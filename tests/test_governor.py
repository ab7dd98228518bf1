"""Permits, limits, classes, the breaker and the retry budget: the governor's functions in a real database."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from resources.gateway.governor import Governor, NotAdmitted, Outcome, Permit, Refusal, Wish
from resources.gateway.limits import SHARE, CallClass, Limits
from resources.postgres.database import engine as open_engine
from tests.simulation import Item, Provider, SimulatedClock, Simulation, percentile

NAME = "provider"
ANY = Wish(NAME)


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def governor(engine: Engine, clock: SimulatedClock) -> Governor:
    return Governor(engine, "test", clock)


def granted(governor: Governor, wish: Wish = ANY, ticket: int | None = None) -> Permit:
    reply = governor.ask(wish, ticket)
    assert reply.outcome == "granted", reply
    assert reply.fence is not None
    return Permit(wish.dependency, reply.fence, wish.tokens)


def test_no_more_calls_at_once_than_the_limit(governor: Governor) -> None:
    governor.configure(NAME, Limits(start_at_once=3, shares=(1, 1, 1)))
    held = [granted(governor) for _ in range(3)]
    assert governor.ask(Wish(NAME)).outcome == "wait"
    assert governor.release(held[0], Outcome.FAULTY)
    assert not governor.release(held[0], Outcome.FAULTY)


def test_those_who_wait_are_served_in_their_order(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(start_at_once=1, most_at_once=1))
    held = granted(governor)
    first, second = governor.ask(Wish(NAME)), governor.ask(Wish(NAME))
    assert first.ticket is not None
    governor.release(held, Outcome.WELL)
    assert governor.ask(Wish(NAME), second.ticket).outcome == "wait"
    assert governor.ask(Wish(NAME)).outcome == "wait"
    granted(governor, Wish(NAME), first.ticket)


def test_a_caller_that_went_away_loses_its_place(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(start_at_once=1, most_at_once=1))
    held = granted(governor)
    governor.ask(Wish(NAME))
    governor.release(held, Outcome.WELL)
    clock.at_s += 10
    granted(governor)


def test_interactive_calls_go_before_those_that_waited_longer(governor: Governor) -> None:
    governor.configure(NAME, Limits(start_at_once=1, most_at_once=1))
    held = granted(governor)
    backfill = governor.ask(Wish(NAME, CallClass.BACKFILL))
    interactive = governor.ask(Wish(NAME, CallClass.INTERACTIVE))
    governor.release(held, Outcome.WELL)
    assert governor.ask(Wish(NAME, CallClass.BACKFILL), backfill.ticket).outcome == "wait"
    granted(governor, Wish(NAME, CallClass.INTERACTIVE), interactive.ticket)


def test_a_backfill_leaves_places_and_requests_to_others(governor: Governor) -> None:
    governor.configure(NAME, Limits(start_at_once=10, requests_a_minute=60, request_burst=20, shares=(1, 0.9, 0.5)))
    backfill = [governor.ask(Wish(NAME, CallClass.BACKFILL)).outcome for _ in range(7)]
    assert backfill.count("granted") == 5
    granted(governor, Wish(NAME, CallClass.INTERACTIVE))


def test_a_bucket_gives_no_more_than_its_burst_and_its_rate(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(requests_a_minute=60, request_burst=2.5, start_at_once=10, shares=(1, 1, 1)))
    granted(governor)
    granted(governor)
    waits = governor.ask(Wish(NAME))
    assert waits.outcome == "wait"
    assert waits.wait_s == pytest.approx(1 / SHARE)
    clock.at_s += 1 / SHARE + 0.001
    granted(governor, Wish(NAME), waits.ticket)


def test_a_call_of_several_requests_takes_as_many(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(requests_a_minute=60, request_burst=4, start_at_once=10, shares=(1, 1, 1)))
    granted(governor, Wish(NAME, requests=3))
    assert governor.ask(Wish(NAME, requests=3)).outcome == "wait"
    clock.at_s += 30
    granted(governor, Wish(NAME, requests=30))  # more than a burst: what is left of it is owed
    clock.at_s += 20
    assert governor.ask(Wish(NAME)).outcome == "wait"
    clock.at_s += 10
    granted(governor)


def test_tokens_that_were_not_used_are_given_back(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(tokens_a_minute=6000, token_burst=1000, start_at_once=10, shares=(1, 1, 1)))
    wish = Wish(NAME, tokens=900)
    permit = granted(governor, wish)
    assert governor.ask(wish).wait_s == pytest.approx((900 - (950 - 900)) / (100 * SHARE))
    governor.release(permit, Outcome.WELL, tokens=100, took_s=0.1)
    clock.at_s += 3
    granted(governor, wish)


def test_a_call_larger_than_any_burst_is_told_so(governor: Governor) -> None:
    governor.configure(NAME, Limits(tokens_a_minute=6000, token_burst=1000))
    with pytest.raises(NotAdmitted, match="never fits") as refused:
        governor.acquire(Wish(NAME, tokens=1001), patience_s=1)
    assert refused.value.refusal is Refusal.NEVER


def test_a_call_that_cannot_end_in_time_is_not_started(governor: Governor) -> None:
    governor.configure(NAME, Limits())
    governor.release(granted(governor), Outcome.WELL, took_s=20)
    assert governor.ask(Wish(NAME, deadline_s=5)).outcome == "late"
    granted(governor, Wish(NAME, deadline_s=60))


def test_the_queue_is_bounded(governor: Governor) -> None:
    governor.configure(NAME, Limits(start_at_once=1, most_at_once=1, queue_bound=2))
    granted(governor)
    assert [governor.ask(Wish(NAME)).outcome for _ in range(3)] == ["wait", "wait", "shed"]


def test_retries_stay_under_a_tenth_of_first_tries(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(start_at_once=64, most_at_once=64, shares=(1, 1, 1)))
    for _ in range(40):
        governor.release(granted(governor), Outcome.WELL)
    retry = Wish(NAME, is_retry=True)
    for _ in range(4):
        governor.release(granted(governor, retry), Outcome.WELL)
    assert governor.ask(retry).outcome == "wait"
    granted(governor)


def test_a_lone_call_may_be_tried_again_now_and_then(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits())
    governor.release(granted(governor), Outcome.FAILED)
    retry = Wish(NAME, is_retry=True)
    governor.release(granted(governor, retry), Outcome.FAILED)
    waits = governor.ask(retry)
    assert waits.outcome == "wait"
    clock.at_s += 40
    granted(governor, retry)


def test_what_was_refused_did_not_fit(governor: Governor, engine: Engine) -> None:
    governor.configure(NAME, Limits(start_at_once=20, shares=(1, 1, 1)))
    held = [granted(governor) for _ in range(20)]
    for permit in held[:15]:
        governor.release(permit, Outcome.REFUSED)
    for permit in held[15:]:
        governor.release(permit, Outcome.WELL, took_s=1)
    with engine.connect() as connection:
        assert 4 <= connection.execute(text("SELECT at_once FROM gateway.dependencies")).scalar_one() <= 7


def test_the_providers_wish_to_wait_is_honoured(governor: Governor, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits())
    governor.release(granted(governor), Outcome.REFUSED, retry_after_s=12)
    assert governor.ask(Wish(NAME)).wait_s == pytest.approx(12)
    clock.at_s += 12.1
    granted(governor)


def test_the_breaker_opens_probes_and_closes(governor: Governor, engine: Engine, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(start_at_once=10, shares=(1, 1, 1)))
    held = [granted(governor) for _ in range(5)]
    for permit in held:
        governor.release(permit, Outcome.FAILED)
    waits = governor.ask(Wish(NAME))
    assert waits.outcome == "wait"
    assert waits.wait_s > 3
    assert "the last 5 calls failed" in waits.reason
    clock.at_s += waits.wait_s
    probe = granted(governor, Wish(NAME), waits.ticket)
    assert "a probe is under way" in governor.ask(Wish(NAME, CallClass.INTERACTIVE, deadline_s=1e9)).reason
    clock.at_s += 60
    for number in range(3):
        governor.release(probe, Outcome.WELL, took_s=0.5)
        if number < 2:
            probe = granted(governor)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT breaker FROM gateway.dependencies")).scalar_one() == "closed"


def test_a_probe_that_fails_opens_it_for_longer(governor: Governor, engine: Engine, clock: SimulatedClock) -> None:
    governor.configure(NAME, Limits(start_at_once=10, shares=(1, 1, 1)))
    for permit in [granted(governor) for _ in range(5)]:
        governor.release(permit, Outcome.FAILED)
    pauses = []
    for _ in range(6):
        waits = governor.ask(Wish(NAME))
        pauses.append(waits.wait_s)
        clock.at_s += waits.wait_s
        governor.release(granted(governor, Wish(NAME), waits.ticket), Outcome.FAILED)
    assert pauses[0] < pauses[2] < pauses[4] <= 72


def test_an_unknown_dependency_is_an_error(governor: Governor) -> None:
    with pytest.raises(Exception, match="no dependency"):
        governor.ask(Wish("nobody"))


def _hold(url: str, ready: object) -> None:
    governor = Governor(open_engine(url), "killed", lease_s=1.5)
    permit = governor.acquire(Wish(NAME), patience_s=5)
    with governor.held(permit, threading.Event()):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_the_permit_of_a_killed_holder_is_back_at_its_expiry(ledger_url: str, engine: Engine) -> None:
    """A killed process cannot give anything back; and while it lives its permit is renewed."""
    governor = Governor(engine, "test", lease_s=1.5)
    governor.configure(NAME, Limits(start_at_once=1, most_at_once=1))
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(ledger_url, ready))
    holder.start()
    assert ready.wait(20)
    time.sleep(2)
    assert governor.ask(Wish(NAME)).outcome == "wait"
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert governor.ask(Wish(NAME)).outcome == "wait"
    killed_at = time.monotonic()
    permit = governor.acquire(Wish(NAME, CallClass.INTERACTIVE), patience_s=10)
    assert time.monotonic() - killed_at < 3
    governor.release(permit, Outcome.WELL)


def _work(url: str, counters: object, all_there: object, seconds: float) -> None:
    governor = Governor(open_engine(url), "worker")
    live, most = counters  # type: ignore[misc]
    all_there.wait(30)  # type: ignore[attr-defined]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        permit = governor.acquire(Wish(NAME), patience_s=30)
        with live.get_lock():
            live.value += 1
            most.value = max(most.value, live.value)
        time.sleep(0.05)
        with live.get_lock():
            live.value -= 1
        governor.release(permit, Outcome.FAULTY)


def test_several_processes_never_hold_more_than_the_limit(ledger_url: str, engine: Engine) -> None:
    Governor(engine, "test").configure(NAME, Limits(start_at_once=3, most_at_once=3, shares=(1, 1, 1)))
    context = multiprocessing.get_context("spawn")
    counters = context.Value("i", 0), context.Value("i", 0)
    all_there = context.Barrier(6)
    workers = [context.Process(target=_work, args=(ledger_url, counters, all_there, 3.0)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert counters[1].value == 3


def _slower_for_good(at_s: float) -> float:
    return 3.0 if at_s >= 60 else 1.0


def test_a_server_that_queues_gets_no_more_than_it_works_on(engine: Engine) -> None:
    """And one that became slower for good is not taken for one that queues."""
    told = Limits(most_at_once=256, shares=(1, 1, 1), follows="latency")
    simulation = Simulation(engine, told, Provider(places=lambda _: 10, queues=True, slower=_slower_for_good), seed=2)
    simulation.keep_busy(60, Item, 240)
    simulation.watch(1, 240)
    simulation.run(240)
    quick = [each.took_s for each in simulation.seen if 30 <= each.at_s < 58]
    slow = [each.took_s for each in simulation.seen if 200 <= each.at_s < 236]
    assert percentile(quick, 0.5) < 1.7
    assert len(quick) / 28 > 0.85 * 10
    assert percentile(slow, 0.5) < 1.7 * 3
    assert len(slow) / 36 > 0.8 * 10 / 3
