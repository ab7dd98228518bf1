"""Runs `publish` in forked children that are killed, or meet an error, at each of its steps in turn.

Started as a program by the store's conformance suite, because a process that has used a bucket must not fork. A step is
an audit event of the interpreter (every system call that changes the file system raises one) or a request to a bucket;
nothing in the store knows of this. Prints one JSON line for each fault.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import GenericError

from processing.failures import Transient
from processing.recipe import recipe_hash
from resources.store.store import Store
from resources.verify import verify_artifact
from tests.store_samples import FILES, publish, recipe, write

STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.link", "os.scandir"})
REQUESTS = ("put", "get", "list", "delete")
MAX_STEPS = 200


def open_store(place: dict[str, Any]) -> Store:
    """The store a test's parameters name."""
    return Store.open(place["location"], cache=Path(place["cache"]), options=place["options"])


def killed(_step: str) -> None:
    """The fault of a machine that loses power to this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def broken(step: str) -> None:
    """The fault of a full disk or a bucket that answers with an error."""
    if step in REQUESTS:
        raise GenericError("503 Slow Down")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Fault:
    """Strikes once, at the n-th step after it was armed."""

    def __init__(self, number: int, strike: Callable[[str], None]) -> None:
        self.left = number
        self.strike = strike
        self.paused = False
        sys.addaudithook(lambda event, _args: self.step(event) if event in STEPS else None)
        for name in REQUESTS:
            self._wrap(name)

    def step(self, name: str) -> None:
        self.left -= not self.paused
        if self.left == 0 and not self.paused:
            self.strike(name)

    def _wrap(self, name: str) -> None:
        request = getattr(obstore, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step(name)
            answer = request(*args, **kwargs)
            self.step(name)
            return answer

        setattr(obstore, name, counted)


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run `work` in a forked child; its wait status and what it returned as JSON, None when it died."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001  a child must end here, whatever happened
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    return os.waitpid(pid, 0)[1], json.loads(text) if text else None


def publish_with_fault(place: dict[str, Any], number: int, strike: Callable[[str], None]) -> dict[str, Any]:
    """Publish once with a fault at step `number`; says how it ended and whether the step was reached."""
    store = open_store(place)
    fault = Fault(number, strike)
    try:
        with store.stage("a test", "owner") as staging:
            fault.paused = True
            out = write(staging.folder / "out", FILES)
            fault.paused = False
            outcome = "created" if publish(store, folder=out).created else "found"
    except Transient as failure:
        outcome = failure.sentence
    return {"outcome": outcome, "reached": fault.left <= 0}


def aftermath(place: dict[str, Any]) -> dict[str, Any]:
    """What a later process finds, and what comes of it when it makes the same recipe with other bytes."""
    store = open_store(place)
    digest = recipe_hash(recipe())
    found = store.find("chunks", digest)
    problems = [problem.sentence for problem in verify_artifact(store, found)] if found else []
    swept = store.sweep_staging(lambda owner: False)
    again = publish(store, {"chunk.mp4": b"made later"})
    problems += [problem.sentence for problem in verify_artifact(store, again.manifest)]
    return {"found": found is not None, "created": again.created, "problems": problems, "swept": swept}


def report(line: dict[str, Any]) -> None:
    """One JSON line on stdout in one write, so that lines of several processes never mix."""
    os.write(1, json.dumps(line).encode() + b"\n")


def fault_loop(place: dict[str, Any], strike: Callable[[str], None]) -> None:
    """Every step in turn, until a publish ends without reaching the step; each at a place of its own."""
    for number in range(1, MAX_STEPS):
        here = place | {"location": f"{place['location']}/{number}", "cache": f"{place['cache']}/{number}"}
        status, ended = in_child(functools.partial(publish_with_fault, here, number, strike))
        if ended is not None and not ended["reached"]:
            return
        _, after = in_child(functools.partial(aftermath, here))
        report({"step": number, "signal": os.WTERMSIG(status), "ended": ended, "after": after})
    raise SystemExit("publishing never came to an end")


def race(place: dict[str, Any], count: int) -> None:
    """`count` processes publish different bytes under one recipe at the same instant."""
    reading, writing = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)  # returns when the parent closes its end: the start signal for all
            done = publish(open_store(place), {"chunk.mp4": b"maker %d" % number * 1000, f"by{number}.txt": b"mine"})
            report({"created": done.created, "data_version": done.manifest.data_version})
            os._exit(0)
        pids.append(pid)
    os.close(writing)
    for pid in pids:
        os.waitpid(pid, 0)


def use_after_fork(place: dict[str, Any]) -> None:
    """Use the store here, then in a child."""
    store = open_store(place)
    store.find("chunks", "a" * 64)

    def ask() -> dict[str, Any]:
        signal.alarm(10)
        try:
            store.find("chunks", "b" * 64)
        except RuntimeError as error:
            return {"error": str(error)}
        return {"error": ""}

    report(in_child(ask)[1])


if __name__ == "__main__":
    chosen, where = sys.argv[1], json.loads(sys.argv[2])
    if chosen == "race":
        race(where, 8)
    elif chosen == "fork":
        use_after_fork(where)
    else:
        fault_loop(where, {"killed": killed, "broken": broken}[chosen])
