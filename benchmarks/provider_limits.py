"""Eight processes for a minute at the limits of a real provider over HTTP: how much of them is used, what is refused.

The whole way of a question: gateway, governor, the SDK, the answer kept. The provider counts 600 requests and 90,000
tokens a minute, with bursts of 10 and 9,000, and charges prompt and true output when a call arrives; how long an output
gets nobody knows beforehand. What both buckets held at the start is left out of what could be used.
Run: `python -m benchmarks.provider_limits [SECONDS]`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record
from processing.asking import Ask, AskTask
from processing.failures import WorkFailure
from resources.gateway.budget import Purse
from resources.gateway.calls import Calls
from resources.gateway.clock import DatabaseClock
from resources.gateway.gateway import Gateway, Order
from resources.gateway.governor import Governor
from resources.gateway.limits import Limits
from resources.ledger.ledger import Ledger
from resources.postgres.database import engine as open_engine
from resources.postgres.database import ensure_database
from resources.providers.openai_http import OpenAiHttp
from resources.store.store import Store
from tests.database import server
from tests.provider_server import provider_server

PROCESSES, THREADS = 8, 8
REQUESTS, REQUEST_BURST = 600.0, 10.0
TOKENS, TOKEN_BURST = 90_000.0, 9_000.0
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Model:
    """A release behind OpenAI's interface at the server of this benchmark."""

    settings: Mapping[str, Any]
    dependency: str = "limited"
    limits: Limits = field(
        default_factory=lambda: Limits(
            requests_a_minute=REQUESTS,
            request_burst=REQUEST_BURST,
            tokens_a_minute=TOKENS,
            token_burst=TOKEN_BURST,
            most_at_once=256,
            start_at_once=16,
            shares=(1.0, 1.0, 1.0),
        )
    )
    timeout_s: float = 40.0
    timeout_per_media_s: float = 0.0

    def cost_usd(self, tokens_in: float, tokens_out: float, media_s: float, requests: int = 1) -> float:
        return 0.0


@contextlib.contextmanager
def _no_lease(_key: str, _going: Callable[[], None]) -> Iterator[None]:
    yield  # no two questions are the same here


def _ask(number: int, database_url: str, base_url: str, folder: Path, seconds: float, begin: Any, out: Any) -> None:
    os.environ["BENCHMARK_KEY"] = "any"
    connections = open_engine(database_url, pool_size=4, durable=False)
    clock = DatabaseClock()
    provider = OpenAiHttp()
    gateway = Gateway(
        governor=Governor(connections, f"process {number}", clock),
        purse=Purse(connections, clock),
        calls=Calls(connections),
        clock=clock,
        store=Store.open(folder / "store"),
        owner=f"process {number}",
        lease=_no_lease,
        provider=lambda _kind: provider,
        budgets=lambda _order, _day: (),
    )
    model = Model(
        {
            "id": "limited",
            "version": "1.0.0",
            "sha256": "0" * 64,
            "provider": "openai_http",
            "model": "a-model",
            "base_url": base_url,
            "key_env": "BENCHMARK_KEY",
        }
    )
    failed: list[str] = []

    def work(thread: int) -> None:
        generator = random.Random(f"{number} {thread}")
        while time.time() < end:
            material = folder / f"{number}-{thread}.json"
            material.write_text(json.dumps({"number": generator.random(), "text": "word " * generator.randrange(40)}))
            ask = Ask(
                "one",
                AskTask.WRITING,
                {"language": "en", "prompt": {"text": "Say it again."}, "schema": SCHEMA},
                {"material.json": material.name},
                most_tokens=generator.choice([64, 128, 256]),
            )
            order = Order(
                ask=ask,
                files={"material.json": material},
                release=model,
                source="-",
                asset="-",
                reader="-",
                run_id="-",
                correlation="-",
            )
            try:
                gateway.obtain(order)
            except WorkFailure as failure:
                failed.append(failure.sentence)
                time.sleep(0.5)

    importlib.import_module("openai")  # a second of eight processes on two cores, once in their lives
    out.put("ready")
    begin.wait()
    end = time.time() + seconds
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put(failed)


def main() -> None:
    """Measure, print and record; fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with server() as postgres, provider_server() as provider, tempfile.TemporaryDirectory() as temporary:
        url = ensure_database(postgres.start(), "limits")
        Ledger.open(url).close()
        provider.control(
            latency_s=[0.3, 1.5],
            requests_a_minute=REQUESTS,
            request_burst=REQUEST_BURST,
            tokens_a_minute=TOKENS,
            token_burst=TOKEN_BURST,
            seed=3,
        )
        begin, out = context.Event(), context.Queue()
        told = (url, provider.url, Path(temporary), given.seconds, begin, out)
        workers = [context.Process(target=_ask, args=(number, *told)) for number in range(PROCESSES)]
        for worker in workers:
            worker.start()
        for _ in workers:
            out.get()
        started = time.time()
        begin.set()
        failed = [each for _ in workers for each in out.get()]
        took_s = time.time() - started
        for worker in workers:
            worker.join()
        seen = provider.seen()
    by_second = {int(second): counts for second, counts in seen["by_second"].items()}
    within = [counts for second, counts in by_second.items() if started <= second < started + given.seconds]
    calls = sum(counts.get("answered", 0) for counts in within) - REQUEST_BURST
    tokens = sum(counts.get("tokens", 0) for counts in within) - TOKEN_BURST
    minutes = given.seconds / 60
    used = max(calls / (REQUESTS * minutes), tokens / (TOKENS * minutes))
    print(f"{seen['answered']} answered with {seen['tokens']} tokens, {seen['refused']} refused, in {took_s:.1f} s")
    for sentence, count in Counter(failed).most_common(5):
        print(f"{count} calls got no answer: {sentence}")
    print(f"of requests {calls / (REQUESTS * minutes):.3f}, of tokens {tokens / (TOKENS * minutes):.3f}")
    figures = {
        "share_of_limit": Figure(round(used, 3), 0.95, "higher", "share"),
        "own_refusals": Figure(seen["refused"], 0, "lower", "calls"),
    }
    record(figures)
    if used < 0.95 or seen["refused"]:
        raise SystemExit("a bar is missed")


if __name__ == "__main__":
    main()
