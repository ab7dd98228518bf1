"""The programs of this room as processes: started with the code at hand and a log in the home, ended in time.

Belongs here: how one is started and ended. Does not belong here: what it is told (nursery, first).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from resources.dagster_home import CODE
from resources.run_log import log_file


def started(
    module: str, arguments: Sequence[str], *, home: Path, log: str, kept: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Run `module` in a session of its own; it inherits the descriptor `kept` and writes to today's log of `log`."""
    paths = [str(CODE), *filter(None, [environment.get("PYTHONPATH")])]
    with log_file(home, log) as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[kept],
            start_new_session=True,
            env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        )


def end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """SIGTERM, then SIGKILL to one that has not ended after `timeout_s`."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
