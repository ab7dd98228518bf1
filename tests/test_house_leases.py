"""Leases as the house takes them: a database that goes away leaves none that its own process waits for for ever."""

from __future__ import annotations

import threading

import pytest

from processing.failures import Transient
from resources.house import House
from resources.ledger import leases
from resources.ledger.ledger import Ledger

KEY = "a recipe"


def _go_on() -> None:
    """Nothing stops the work."""


def test_a_lease_that_could_not_be_given_back_is_taken_again_by_its_process(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as gone:
        gone.setattr(Ledger, "release", _gone)
        with pytest.raises(ZeroDivisionError), house.lease(KEY, poll_s=0.01, going=_go_on):  # not what release raised
            _ = 1 / 0
    with house.lease(KEY, poll_s=0.01, going=_too_late):
        pass
    with house.lease_or_none(KEY) as mine:
        assert mine


def test_a_lease_whose_answer_was_lost_is_taken_again(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = leases.try_lease

    def lost(*arguments: object, **options: object) -> None:
        real(*arguments, **options)  # type: ignore[arg-type]
        raise Transient("the database does not answer")

    with monkeypatch.context() as gone:
        gone.setattr(leases, "try_lease", lost)
        with pytest.raises(Transient), house.lease_or_none(KEY):
            pass
    with house.lease_or_none(KEY) as mine:
        assert mine


def test_two_threads_of_a_process_never_hold_one_lease(house: House) -> None:
    inside = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with house.lease(KEY, poll_s=0.001, going=_go_on):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def _gone(*_: object) -> bool:
    raise Transient("the database does not answer")


def _too_late() -> None:
    raise AssertionError("it waits for a lease that nobody holds")
