"""Permits are counted over the whole machine, come back from the dead, and are given first come first served."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import resources.compute.permits as permits_module
from processing.failures import Interrupted
from resources.compute.permits import Permits, runtime_folder
from tests.compute_trial import eventually

ROOT = Path(__file__).parents[1]


def holder(folder: Path, count: int, code: str) -> subprocess.Popen[str]:
    """Another process that runs `code` with `permits`, and says "held" when it should be waited for."""
    script = (
        "import sys, os, time; from pathlib import Path; from resources.compute.permits import Permits\n"
        f"permits = Permits({count}, folder=Path({str(folder)!r}))\n{code}"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process


def wait_for_word(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


HOLD = "permit = permits.acquire(); print('held', flush=True); time.sleep(60)"


def test_no_more_permits_than_the_count(tmp_path: Path) -> None:
    permits = Permits(2, folder=tmp_path / "run")
    with permits.acquire(), permits.acquire():
        assert permits.in_use() == 2
        with pytest.raises(TimeoutError):
            permits.acquire(timeout_s=0.1)
    assert permits.in_use() == 0


def test_homes_and_processes_share_one_count(tmp_path: Path) -> None:
    process = holder(tmp_path, 1, HOLD)
    try:
        assert wait_for_word(process) == "held"
        with pytest.raises(TimeoutError):
            Permits(1, folder=tmp_path).acquire(timeout_s=0.1)
    finally:
        process.kill()
        process.wait()


def test_a_killed_holder_gives_its_permit_back_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path, 1, HOLD)
    assert wait_for_word(process) == "held"
    process.send_signal(signal.SIGKILL)
    process.wait()
    Permits(1, folder=tmp_path).acquire(timeout_s=1).close()


def test_a_permit_is_held_until_the_child_that_inherited_it_is_gone(tmp_path: Path) -> None:
    permits = Permits(1, folder=tmp_path)
    permit = permits.acquire()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[permit.fileno()])
    try:
        permit.close()
        assert permits.in_use() == 1
    finally:
        child.kill()
        child.wait()
    assert permits.in_use() == 0


def test_whoever_came_first_is_served_first(tmp_path: Path) -> None:
    """Polling alone serves whoever looks first: under load one process waited for minutes while others took turns."""
    permits = Permits(1, folder=tmp_path)
    permit = permits.acquire()
    served: list[int] = []
    chance = random.Random(3)

    def wait(number: int, hold_s: float) -> None:
        with permits.acquire(timeout_s=20):
            served.append(number)
            time.sleep(hold_s)

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=wait, args=(number, chance.uniform(0.01, 0.06))))
        threads[-1].start()
        assert eventually(lambda: len(list(tmp_path.glob("wait-*"))) == number + 1)  # noqa: B023
        time.sleep(chance.uniform(0, 0.05))
    permit.close()
    for thread in threads:
        thread.join()
    assert served == list(range(8))


def test_a_waiter_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    permits = Permits(1, folder=tmp_path)
    permit = permits.acquire()
    process = holder(tmp_path, 1, "print('waits', flush=True); permits.acquire()")
    assert wait_for_word(process) == "waits"
    assert eventually(lambda: list(tmp_path.glob("wait-*")))
    process.kill()
    process.wait()
    permit.close()
    permits.acquire(timeout_s=1).close()
    assert not list(tmp_path.glob("wait-*"))


def test_waiting_ends_when_work_is_to_stop(tmp_path: Path) -> None:
    permits = Permits(1, folder=tmp_path)
    stop = threading.Event()
    with permits.acquire():
        threading.Timer(0.05, stop.set).start()
        started = time.monotonic()
        with pytest.raises(Interrupted):
            permits.acquire(stopping=stop.is_set)
    assert time.monotonic() - started < 1


def test_waiting_costs_next_to_no_cpu(tmp_path: Path) -> None:
    permits = Permits(4, folder=tmp_path)
    held = [permits.acquire() for _ in range(4)]
    before = time.thread_time()
    with pytest.raises(TimeoutError):
        permits.acquire(timeout_s=1)
    assert time.thread_time() - before < 0.05
    for permit in held:
        permit.close()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="not a folder of its own"):
        Permits(1, folder=tmp_path / "run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that belongs to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12345, -1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        Permits(1, folder=tmp_path / "run")


def test_a_slot_file_removed_between_opening_and_locking_is_not_the_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleaner of old files in /tmp removed slots; a lock on the orphan protected nothing."""
    permits = Permits(1, folder=tmp_path)
    really_open = permits_module._open
    cleaned: list[str] = []

    def open_and_clean(folder: int, name: str, *, create: bool) -> int:
        descriptor = really_open(folder, name, create=create)
        if name.startswith("slot-") and not cleaned:
            cleaned.append(name)
            os.unlink(name, dir_fd=folder)
        return descriptor

    monkeypatch.setattr(permits_module, "_open", open_and_clean)
    with permits.acquire(timeout_s=5) as permit:
        assert cleaned
        assert os.fstat(permit.fileno()).st_ino == (tmp_path / "slot-000").stat().st_ino


def test_the_runtime_folder_is_not_taken_from_another_users_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "sourcebound"
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, -1)
        assert runtime_folder() != tmp_path / "sourcebound"


def test_the_default_count_is_the_cores_this_process_may_use(tmp_path: Path) -> None:
    assert Permits(folder=tmp_path).count == len(os.sched_getaffinity(0))
