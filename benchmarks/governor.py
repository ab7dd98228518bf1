"""How fast permits are had, and what the governor makes of a provider that shrinks, fails, slows down or is flooded.

Permits: eight processes against one dependency in a real database. The rest on a simulated clock (tests/simulation),
with the same functions in the same database, by seed. Run: `python -m benchmarks.governor [permits|capacity|outage|
slow|backfill|limits]...`; all without an argument.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from benchmarks.machine import wait_for_quiet
from benchmarks.results import Figure, record
from resources.gateway.governor import Governor, Outcome, Wish
from resources.gateway.limits import CallClass, Limits
from resources.ledger.ledger import Ledger
from resources.postgres.database import engine as open_engine
from resources.postgres.database import ensure_database
from tests.database import server
from tests.simulation import Bucket, Item, Provider, Seen, Simulation, percentile

PROCESSES = 8
PERMITS_S = 10.0
PLOT = Path(__file__).parent.parent / "docs" / "decisions" / "adaptive-limit.svg"
EASY = Limits(most_at_once=512, start_at_once=4, shares=(1, 1, 1), queue_bound=10**6)


def _take(url: str, begin: object, out: object) -> None:
    governor = Governor(open_engine(url, durable=False), "benchmark")
    times = []
    begin.wait()  # type: ignore[attr-defined]
    end = time.monotonic() + PERMITS_S
    while time.monotonic() < end:
        before = time.perf_counter()
        permit = governor.acquire(Wish("permits"), patience_s=5)
        times.append(time.perf_counter() - before)
        governor.release(permit, Outcome.FAULTY)
    out.put(times)  # type: ignore[attr-defined]


def permits(engine: Engine, url: str) -> dict[str, Figure]:
    """Acquisitions a second over all processes, and how long one takes."""
    limits = Limits(start_at_once=64, most_at_once=64, requests_a_minute=6e6, request_burst=1e5)
    Governor(engine, "benchmark").configure("permits", limits)
    context = multiprocessing.get_context("spawn")
    begin, out = context.Event(), context.Queue()
    workers = [context.Process(target=_take, args=(url, begin, out)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    time.sleep(5)
    begin.set()
    times = [taken for _ in workers for taken in out.get()]
    for worker in workers:
        worker.join()
    return {
        "permits_a_second": Figure(round(len(times) / PERMITS_S), 1000, "higher", "1/s"),
        "permit_p99": Figure(round(percentile(times, 0.99) * 1000, 2), 10.0, "lower", "ms"),
        "permit_max": Figure(round(max(times) * 1000, 1), 1000.0, "lower", "ms"),
    }


def limits(engine: Engine, _url: str) -> dict[str, Figure]:
    """Ten minutes at a provider's limits, tokens unknown beforehand: how much of the limit that binds is used."""
    told = Limits(requests_a_minute=600, request_burst=10, tokens_a_minute=90_000, token_burst=10_000, most_at_once=128)
    generator = random.Random(5)
    simulation = Simulation(
        engine, told, Provider(spread=0.5, requests=Bucket(600, 10), tokens=Bucket(90_000, 10_000)), seed=5
    )

    def item() -> Item:
        most = generator.choice([64, 128, 256])
        return Item(most_tokens=60 + most, tokens=60 + generator.uniform(0.1, 1.0) * most)

    simulation.keep_busy(64, item, 600)
    simulation.run(600)
    well = _well(simulation)
    used = max(len(well) / 6000, sum(each.tokens for each in well) / 900_000)
    refused = sum(each.outcome is Outcome.REFUSED for each in simulation.seen)
    return {
        "simulated_share_of_limit": Figure(round(used, 3), 0.95, "higher", "share"),
        "simulated_own_refusals": Figure(refused, 0, "lower", "calls"),
    }


def _well(simulation: Simulation) -> list[Seen]:
    return [each for each in simulation.seen if each.outcome is Outcome.WELL]


def _places(at_s: float) -> int:
    return 20 if 120 <= at_s < 240 else 100


def _capacity(engine: Engine, queues: bool, fixed: int | None) -> Simulation:
    told = Limits(
        most_at_once=512,
        start_at_once=4,
        shares=(1, 1, 1),
        queue_bound=10**6,
        follows="latency" if queues else "refusals",
    )
    simulation = Simulation(
        engine, told, Provider(places=_places, queues=queues), seed=3, fixed_at_once=fixed, timeout_s=30
    )
    simulation.keep_busy(200, Item, 360)
    simulation.watch(1, 360)
    simulation.run(360)
    return simulation


def goodput(simulation: Simulation, start_s: float, end_s: float) -> float:
    """Calls that went well and ended within a stretch, a second."""
    return sum(start_s <= each.at_s + each.took_s < end_s for each in _well(simulation)) / (end_s - start_s)


def capacity(engine: Engine, _url: str) -> dict[str, Figure]:
    """100 places, then 20, then 100 again: goodput beside an oracle's, latency beside the unloaded one's."""
    found: dict[str, Figure] = {}
    unloaded = 1.39  # p95 of a log-normal with median 1 and spread 0.2
    mean_s = 1.0202
    for kind, queues in (("refusing", False), ("queueing", True)):
        adaptive = _capacity(engine, queues, None)
        oracle = (100 * 240 + 20 * 120) / mean_s / 360
        share = goodput(adaptive, 0, 360) / oracle
        after = [goodput(adaptive, start + 60, start + 120) / (_places(start) / mean_s) for start in (0, 120, 240)]
        p95 = percentile([each.took_s for each in _well(adaptive)], 0.95) / unloaded
        scores = {}
        for number in (20, 40, 70, 100, 140):
            fixed = _capacity(engine, queues, number)
            scores[number] = _score(fixed, oracle, unloaded)
            print(f"  {kind} fixed {number}: goodput {goodput(fixed, 0, 360) / oracle:.3f}, score {scores[number]:.3f}")
        beside = _score(adaptive, oracle, unloaded) / max(scores.values())
        print(f"  {kind} adaptive: after a minute each {[round(each, 3) for each in after]}")
        found |= {
            f"{kind}_goodput_to_oracle": Figure(round(share, 3), 0.85, "higher", "share"),
            f"{kind}_settled_goodput": Figure(round(min(after), 3), 0.85, "higher", "share"),
            f"{kind}_p95_to_unloaded": Figure(round(p95, 2), 2.0, "lower", "times"),
            f"{kind}_beside_best_fixed": Figure(round(beside, 3), 1.0, "higher", "times"),
        }
        if not queues:
            _plot(adaptive)
    return found


def _score(simulation: Simulation, oracle: float, unloaded_s: float) -> float:
    """Goodput counting only calls within twice the unloaded p95, less the share of calls that were wasted."""
    useful = [each for each in _well(simulation) if each.took_s <= 2 * unloaded_s]
    wasted = 1 - len(useful) / max(1, len(simulation.seen))
    return len(useful) / 360 / oracle * (1 - wasted)


def outage(engine: Engine, _url: str) -> dict[str, Figure]:
    """Ten minutes without an answer under 1,000 waiting items."""
    down = (60.0, 660.0)
    simulation = Simulation(
        engine,
        Limits(requests_a_minute=600, request_burst=10, most_at_once=64, queue_bound=2000),
        Provider(is_down=lambda at_s: down[0] <= at_s < down[1]),
        seed=9,
    )
    for number in range(600):
        simulation.submit(number * 0.1, Item())
    for _ in range(1000):
        simulation.submit(61.0 + random.Random(7).random(), Item())
    simulation.watch(5, 1200)
    simulation.run(3000)  # what failed once is tried again a tenth as often as others are tried at all
    during = [each for each in simulation.seen if down[0] <= each.at_s < down[1]]
    retries = sum(each.is_retry for each in during)
    firsts = sum(not each.is_retry for each in during)
    allowed = 0.1 * firsts + (down[1] - down[0]) / 30
    later = [each.at_s for each in _well(simulation) if each.at_s >= down[1]]
    by_second = [sum(second <= at_s < second + 1 for at_s in later) for second in range(int(down[1]), 1200)]
    steady = 10.0
    closed = next((at_s for at_s, state in simulation.breaker if at_s > down[1] and state == "closed"), 1200.0)
    print(f"  {len(during)} calls during it, {retries} of them tries again; closed {closed - down[1]:.0f} s after")
    return {
        "outage_retries_to_allowed": Figure(round(retries / allowed, 2), 1.0, "lower", "times"),
        "outage_calls": Figure(len(during), None, "lower", "calls"),
        "outage_lost": Figure(1600 - simulation.done, 0, "lower", "items"),
        "outage_second_peak": Figure(round(max(by_second) / steady, 2), 1.5, "lower", "times"),
    }


def slow(engine: Engine, _url: str) -> dict[str, Figure]:
    """Calls that take a hundred times as long: the breaker opens, and few are under way."""
    simulation = Simulation(
        engine,
        Limits(most_at_once=64, queue_bound=512),
        Provider(median_s=0.3, slower=lambda at_s: 100.0 if 60 <= at_s < 240 else 1.0),
        seed=4,
        timeout_s=5.0,
    )
    simulation.keep_busy(100, Item, 400)
    simulation.watch(1, 400)
    simulation.run(400)
    opened = next((at_s for at_s, state in simulation.breaker if at_s >= 60 and state == "open"), 400.0)
    during = [each for each in simulation.seen if opened <= each.at_s < 240]
    back = goodput(simulation, 340, 400) / goodput(simulation, 30, 60)
    return {
        "slow_breaker_opens_after": Figure(round(opened - 60, 1), 15.0, "lower", "s"),
        "slow_calls_while_open": Figure(len(during), 20, "lower", "calls"),
        "slow_goodput_back": Figure(round(back, 2), 0.9, "higher", "share"),
    }


def backfill(engine: Engine, _url: str) -> dict[str, Figure]:
    """Interactive calls beside 10,000 of a backfill: what the slowest twentieth of them waits and takes."""

    def played(with_backfill: bool) -> Simulation:
        simulation = Simulation(
            engine,
            Limits(requests_a_minute=1800, request_burst=30, most_at_once=64, start_at_once=16, queue_bound=512),
            Provider(places=lambda _: 40),
            seed=11,
        )
        generator = random.Random(11)
        at_s = 10.0
        while at_s < 400:
            simulation.submit(at_s, Item(CallClass.INTERACTIVE))
            at_s += generator.expovariate(2.0)
        if with_backfill:
            left = [10_000]

            def item() -> Item:
                left[0] -= 1
                return Item(CallClass.BACKFILL)

            simulation.keep_busy(64, item, 400)
        simulation.run(430)
        return simulation

    def p95(simulation: Simulation) -> float:
        seen = [each for each in _well(simulation) if each.call_class is CallClass.INTERACTIVE]
        return percentile([each.waited_s + each.took_s for each in seen], 0.95)

    alone, beside = played(False), played(True)
    done = sum(each.call_class is CallClass.BACKFILL for each in _well(beside))
    print(f"  {done} of the backfill done beside; p95 {p95(alone):.3f} s alone, {p95(beside):.3f} s beside it")
    return {"interactive_p95_beside_backfill": Figure(round(p95(beside) / p95(alone), 3), 1.1, "lower", "times")}


def _plot(simulation: Simulation) -> None:
    """The limit beside what the provider could take, as a drawing."""
    width, height, most = 720, 240, 140.0

    def at(x_s: float, y: float) -> str:
        return f"{40 + x_s / 360 * (width - 60):.1f},{height - 30 - y / most * (height - 50):.1f}"

    capacity_line = " ".join(at(x, _places(x)) for x in [0, 119.9, 120, 239.9, 240, 360])
    limit_line = " ".join(at(x, y) for x, y in simulation.at_once)
    rows = "".join(
        f'<text x="34" y="{height - 26 - y / most * (height - 50):.0f}" text-anchor="end">{y}</text>'
        for y in (0, 20, 50, 100)
    ) + "".join(f'<text x="{40 + x / 360 * (width - 60):.0f}" y="{height - 10}">{x} s</text>' for x in (0, 120, 240))
    PLOT.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#555">{rows}'
        f'<polyline points="{capacity_line}" fill="none" stroke="#999" stroke-width="2"/>'
        f'<polyline points="{limit_line}" fill="none" stroke="#06c" stroke-width="1.5"/>'
        '<text x="60" y="18" fill="#999">places the provider has</text>'
        '<text x="230" y="18" fill="#06c">calls at once the governor allows</text></svg>\n',
        encoding="utf-8",
    )


PLAYS: dict[str, Callable[[Engine, str], dict[str, Figure]]] = {
    "permits": permits,
    "limits": limits,
    "capacity": capacity,
    "outage": outage,
    "slow": slow,
    "backfill": backfill,
}


def main() -> None:
    """Measure, print and record; fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plays", nargs="*", choices=[*PLAYS, []])
    given = parser.parse_args()
    missed = []
    with server() as postgres:
        url = ensure_database(postgres.start(), "governor")
        Ledger.open(url).close()
        engine = open_engine(url, durable=False)
        for name in given.plays or PLAYS:
            if name == "permits":
                wait_for_quiet()
            figures = PLAYS[name](engine, url)
            record(figures)
            for title, figure in figures.items():
                print(f"{title:34s} {figure.value} (bar {figure.bar}, {figure.better} is better)", flush=True)
                if figure.bar is not None and (
                    figure.value > figure.bar if figure.better == "lower" else figure.value < figure.bar
                ):
                    missed.append(title)
        engine.dispose()
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
