"""The way of a question: found, affordable, admitted, asked once, put on record, kept."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import ContractBroken, Interrupted, OutOfBudget
from processing.manifest import Manifest
from resources.gateway import gateway as module
from resources.gateway.budget import Budget, BudgetSpent, Purse
from resources.gateway.calls import Calls
from resources.gateway.clock import DatabaseClock
from resources.gateway.gateway import Gateway, Order, Unavailable
from resources.gateway.governor import Governor
from resources.gateway.limits import Limits
from resources.postgres.database import engine as open_engine
from resources.providers.port import Answer, Cancelled, Failed, Faulty, Provider, Question, Refused, Usage, Vacuous
from resources.store.store import Store

READER = "summary 1"
WELL = Answer(b'{"text": "hello"}', "test.v1", Usage(10, 5), "request-1", "model-1")


@dataclass(slots=True)
class Scripted(Provider):
    """Answers as it is told, one after the other, the last for ever."""

    script: list[Any] = field(default_factory=lambda: [WELL])
    asked: list[Question] = field(default_factory=list)
    requests: int = 1

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        self.asked.append(question)
        said = self.script[0] if len(self.script) == 1 else self.script.pop(0)
        if callable(said):
            said = said(cancelled)
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, Answer)
        return said

    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        return None

    def tokens_at_most(self, question: Question) -> float:
        return 100.0

    def requests_of(self, question: Question) -> int:
        return self.requests

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Model:
    """A release with limits and a price of a dollar a thousand tokens."""

    limits: Limits | None = field(default_factory=Limits)
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "id": "m",
            "version": "1.0.0",
            "sha256": "0" * 64,
            "provider": "scripted",
            "model": "x",
        }
    )
    dependency: str = "somewhere"
    timeout_s: float = 5.0
    timeout_per_media_s: float = 0.0

    def cost_usd(self, tokens_in: float, tokens_out: float, media_s: float, requests: int = 1) -> float:
        return (tokens_in + tokens_out) / 1000


@dataclass(slots=True)
class Bench:
    """A gateway with one scripted provider."""

    gateway: Gateway
    provider: Scripted
    engine: Engine
    budgets: list[Budget]
    store: Store

    def body(self, manifest: Manifest) -> bytes:
        return self.store.as_input(manifest, "answer").path(ANSWER_FILE).read_bytes()

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)))


@pytest.fixture
def bench(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    engine = open_engine(ledger_url)
    provider, budgets, lock = Scripted(), list[Budget](), threading.Lock()

    @contextlib.contextmanager
    def lease(_key: str, _going: Callable[[], None]) -> Iterator[None]:
        with lock:
            yield

    clock = DatabaseClock()
    store = Store.open(tmp_path / "store")
    gateway = Gateway(
        governor=Governor(engine, "test", clock),
        purse=Purse(engine, clock),
        calls=Calls(engine),
        clock=clock,
        store=store,
        owner="test",
        lease=lease,
        provider=lambda _kind: provider,
        budgets=lambda _order, _day: budgets,
    )
    yield Bench(gateway, provider, engine, budgets, store)
    engine.dispose()


def order(tmp_path: Path, said: str = "what?", **told: Any) -> Order:
    file = tmp_path / "question.txt"
    file.write_text(said)
    ask = Ask("one", AskTask.WRITING, {"language": "en"}, {"question.txt": "one/question.txt"}, most_tokens=50)
    values = {"release": Model(), "source": "s", "asset": "summary", "run_id": "r", "correlation": "a"}
    return Order(ask=ask, files={"question.txt": file}, **(values | {"reader": READER} | told))


def test_an_answer_of_several_requests_counts_as_several(bench: Bench, tmp_path: Path) -> None:
    bench.provider.requests = 3
    bench.gateway.obtain(order(tmp_path, release=Model(Limits(requests_a_minute=0.001, request_burst=5))))
    ((left,),) = bench.rows("SELECT requests FROM gateway.dependencies")
    assert left == pytest.approx(2, abs=0.01)


def test_an_answer_is_kept_as_it_came_and_asked_once(bench: Bench, tmp_path: Path) -> None:
    first = bench.gateway.obtain(order(tmp_path))
    again = bench.gateway.obtain(order(tmp_path))
    assert first.recipe_hash == again.recipe_hash
    assert len(bench.provider.asked) == 1
    assert bench.body(first) == WELL.body
    assert first.facts["format"] == "test.v1"
    (row,) = bench.rows("SELECT outcome, request_id, tokens_in, cost_usd FROM gateway.calls")
    assert tuple(row) == ("well", "request-1", 10, pytest.approx(0.015))


def test_another_question_is_another_answer(bench: Bench, tmp_path: Path) -> None:
    assert (
        bench.gateway.obtain(order(tmp_path)).recipe_hash
        != bench.gateway.obtain(order(tmp_path, "and now?")).recipe_hash
    )


def test_two_at_once_pay_once(bench: Bench, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        asked = order(tmp_path)
        made = list(threads.map(bench.gateway.obtain, [asked] * 4))
    assert len({manifest.recipe_hash for manifest in made}) == 1
    assert len(bench.provider.asked) == 1


def test_a_call_that_failed_is_tried_again_under_one_key(bench: Bench, tmp_path: Path) -> None:
    bench.provider.script = [Failed("a reset"), WELL]
    bench.gateway.obtain(order(tmp_path))
    assert len({question.idempotency_key for question in bench.provider.asked}) == 1
    rows = bench.rows("SELECT try, outcome, cause FROM gateway.calls ORDER BY seq")
    assert [tuple(row) for row in rows] == [(1, "failed", "a reset"), (2, "well", None)]


def test_a_provider_that_wants_long_to_pass_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    bench.provider.script = [Refused("too many", retry_after_s=90)]
    with pytest.raises(Unavailable) as failure:
        bench.gateway.obtain(order(tmp_path))
    assert failure.value.retry_after_s == 90
    assert len(bench.provider.asked) == 1
    with pytest.raises(Unavailable, match="asked to wait"):
        bench.gateway.obtain(order(tmp_path, "something else"))
    assert len(bench.provider.asked) == 1


def test_an_answer_that_says_nothing_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    bench.provider.script = [Vacuous("an empty body")]
    with pytest.raises(ContractBroken, match="answered nothing"):
        bench.gateway.obtain(order(tmp_path))
    assert not list((tmp_path / "store").rglob(ANSWER_FILE))
    assert len(bench.provider.asked) == 1


def test_a_wrong_key_is_not_tried_again(bench: Bench, tmp_path: Path) -> None:
    bench.provider.script = [Faulty("the key is wrong", cure="set OPENAI_API_KEY")]
    with pytest.raises(ContractBroken, match="the key is wrong") as failure:
        bench.gateway.obtain(order(tmp_path))
    assert failure.value.cure == "set OPENAI_API_KEY"
    assert len(bench.provider.asked) == 1


def test_an_answer_that_was_rejected_is_asked_for_anew_and_stays(bench: Bench, tmp_path: Path) -> None:
    useless = bench.gateway.obtain(order(tmp_path))
    bench.gateway.reject([useless], READER, "it repeats itself")
    better = bench.gateway.obtain(order(tmp_path))
    assert better.recipe_hash != useless.recipe_hash
    assert len(bench.provider.asked) == 2
    assert bench.body(useless) == WELL.body


def test_a_mended_reader_reads_the_old_answer_and_pays_nothing(bench: Bench, tmp_path: Path) -> None:
    unread = bench.gateway.obtain(order(tmp_path))
    bench.gateway.reject([unread], READER, "its third line cannot be read")
    assert bench.gateway.obtain(order(tmp_path, reader="summary 2")).recipe_hash == unread.recipe_hash
    assert len(bench.provider.asked) == 1


def test_a_question_is_not_paid_for_without_end(bench: Bench, tmp_path: Path) -> None:
    for _ in range(module.MOST_REJECTED + 1):
        bench.gateway.reject([bench.gateway.obtain(order(tmp_path))], READER, "nothing in it")
    with pytest.raises(ContractBroken, match="never anything that could be used"):
        bench.gateway.obtain(order(tmp_path))


def test_a_call_beyond_the_budget_is_not_made(bench: Bench, tmp_path: Path) -> None:
    bench.budgets.append(Budget("day", "2026-01-01", 0.11))
    bench.gateway.obtain(order(tmp_path))
    with pytest.raises(Unavailable, match=r"does not fit the budget day, which has 0\.0950 USD left") as spent:
        bench.gateway.obtain(order(tmp_path, "more"))
    assert 0 < (spent.value.retry_after_s or 0) <= 86_400  # the next day has room again
    bench.budgets[:] = [Budget("day", "2026-01-02", 0.09)]
    with pytest.raises(OutOfBudget):  # and no day ever has room for it
        bench.gateway.obtain(order(tmp_path, "more"))
    assert len(bench.provider.asked) == 1
    assert not bench.rows("SELECT * FROM gateway.reserved")


def test_a_source_that_was_cancelled_ends_its_call(bench: Bench, tmp_path: Path) -> None:
    def hang(cancelled: threading.Event) -> Exception:
        assert cancelled.wait(5)
        return Cancelled("told to")

    bench.provider.script = [hang]
    looks = iter([None, None])

    def going() -> None:
        if next(looks, 0) == 0:
            raise Interrupted("the source was cancelled")

    with pytest.raises(Interrupted, match="the source was cancelled"):
        bench.gateway.obtain(order(tmp_path, going=going))
    assert not bench.rows("SELECT * FROM gateway.permits")
    assert bench.rows("SELECT outcome FROM gateway.calls") == [("cancelled",)]


def test_what_was_reserved_and_never_settled_counts_as_spent(bench: Bench) -> None:
    """Whoever is killed in a call may be charged for it all the same."""
    purse = Purse(bench.engine, DatabaseClock())
    budget = Budget("day", "2026-01-01", 1.0)
    purse.reserve([budget], 0.6, for_s=0.0)
    with pytest.raises(BudgetSpent, match=r"has 0\.4000 USD left"):
        purse.reserve([budget], 0.6, for_s=60.0)
    assert purse.spent(["2026-01-01"]) == {("day", "2026-01-01"): 0.6}
    assert not bench.rows("SELECT * FROM gateway.reserved")


def test_a_refused_call_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.budgets.append(Budget("day", "2026-01-01", 1.0))
    bench.provider.script = [Refused("too many"), WELL]
    bench.gateway.obtain(order(tmp_path))
    assert bench.rows("SELECT outcome, cost_usd FROM gateway.calls ORDER BY seq") == [("refused", 0.0), ("well", 0.015)]


def test_a_model_of_this_house_needs_no_permit(bench: Bench, tmp_path: Path) -> None:
    bench.gateway.obtain(order(tmp_path, release=Model(limits=None)))
    assert not bench.rows("SELECT * FROM gateway.dependencies")
