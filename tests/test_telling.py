"""What the terminal of `make run` says of files: one line when one comes in, one when it comes to rest."""

from __future__ import annotations

from operations.telling import Teller
from resources.ledger.ledger import Ledger
from resources.ledger.rows import Arrival
from resources.ledger.states import AssetState


def arrive(ledger: Ledger, name: str) -> str:
    arrival = Arrival(location=f"/in/{name}", size_bytes=2, mtime_ns=7, actor="test")
    return ledger.register(arrival, content=name, job="video", assets=("source", "poster")).source_key


def test_a_file_is_told_when_it_comes_in_and_when_it_is_done(ledger: Ledger) -> None:
    before = arrive(ledger, "before.mp4")
    lines: list[str] = []
    teller = Teller(ledger, lines.append)
    teller.look()
    key = arrive(ledger, "film.mp4")
    teller.look()
    ledger.move(key, "source", AssetState.READY, actor="test")
    teller.look()
    assert lines == [f"film.mp4 came in as {key}"]
    ledger.move(key, "poster", AssetState.READY, actor="test")
    ledger.move(before, "poster", AssetState.QUARANTINED, actor="test", cause="it is cut off")
    teller.look()
    teller.look()
    assert lines[1:] == sorted([f"{before} is quarantined: it is cut off", f"{key} is ready"])


def test_what_is_made_again_is_told_again(ledger: Ledger) -> None:
    lines: list[str] = []
    teller = Teller(ledger, lines.append)
    teller.look()
    key = arrive(ledger, "film.mp4")
    for state in (AssetState.READY, AssetState.RUNNING, AssetState.READY):
        ledger.move_many(key, ["source", "poster"], state, actor="test")
        teller.look()
    assert lines == [f"{key} is ready"] * 2
