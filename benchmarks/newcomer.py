"""From a fresh clone to the first finished page, with `make run` and a file that is copied, and nothing else typed.

The bar is 5 minutes. The first set-up is in it: packages are fetched from wherever pip fetches them.
Run: `python -m benchmarks.newcomer FILE`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from benchmarks.results import Figure, record
from tests.site import free_port

CODE = Path(__file__).resolve().parents[1]
BAR_S = 300.0
PATIENCE_S = 900.0
LOOK_S = 0.5


def main() -> None:
    """Clone, start, copy, wait; everything of it is gone afterwards."""
    file = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        clone = Path(temporary) / "sourcebound"
        began = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(CODE), str(clone)], check=True)
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SOURCEBOUND_", "DAGSTER_"))}
        environment = {**kept, "SOURCEBOUND_PORT": str(port)}  # others may hold the usual one here
        started = subprocess.Popen(
            ["make", "run"], cwd=clone, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            inbox = clone / "inbox"
            _wait(inbox.is_dir, began)
            set_up_s = time.monotonic() - began
            shutil.copy(file, inbox)
            _wait(lambda: _is_finished(f"http://127.0.0.1:{port + 1}"), began)
            took_s = time.monotonic() - began
        finally:
            os.killpg(started.pid, signal.SIGINT)
            started.wait(60)
    print(f"set up and started after {set_up_s:.0f} s, the page of {file.name} finished after {took_s:.0f} s")
    record({"newcomer_to_first_page_s": Figure(round(took_s, 1), BAR_S, "lower", "s")})


def _is_finished(address: str) -> bool:
    try:
        sources = httpx2.get(f"{address}/api/sources", timeout=5).json()["sources"]
    except (httpx2.HTTPError, ValueError):
        return False
    return bool(sources) and all(each["state"] == "ready" and each["has_page"] for each in sources)


def _wait(condition: Callable[[], bool], began: float) -> None:
    while not condition():
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit("it did not come to an end")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
