"""An operation that answers asks in the way each of them names, found by a nursery that was given this folder.

Belongs here: what an embedded model could do to whoever asks it. Does not belong here: assertions.
"""

from __future__ import annotations

import json
import os
import signal
import time

from processing.asking import ANSWER_FILE
from processing.failures import Interrupted, SickWorker, Throttled, Transient
from processing.work import Result, Task


def answer(task: Task) -> Result:
    """Write what the ask says is to be answered; facts as embedded models give them."""
    ask = task.parameters["ask"]
    behaviour = ask.get("behaviour", "")
    if behaviour == "slow":
        time.sleep(30)
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour in FAILURES:
        raise FAILURES[behaviour]("so it was ordered")
    if behaviour == "no_file":
        return Result(facts={"format": "embedded.v1"})
    if behaviour == "a_link":
        (task.out / ANSWER_FILE).symlink_to("/etc/hostname")
        return Result(facts={"format": "embedded.v1"})
    files = task.inputs["ask"].files
    told = {"heard": _bytes(task), "names": [entry.path for entry in files], "model": task.parameters["release"]["id"]}
    body = "" if behaviour == "empty_body" else json.dumps(told)
    task.out.mkdir(parents=True, exist_ok=True)
    (task.out / ANSWER_FILE).write_text(body, encoding="utf-8")
    return Result(facts={"format": "embedded.v1", "usage": {"seconds": 2.0}})


FAILURES = {"failed": Transient, "refused": Throttled, "sick": SickWorker, "stopped": Interrupted}


def _bytes(task: Task) -> int:
    """What came of the payload: its size, read through the input."""
    return sum(len(task.inputs["ask"].path(entry.path).read_bytes()) for entry in task.inputs["ask"].files)
