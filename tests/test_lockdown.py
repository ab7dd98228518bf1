"""The lock-down seen from outside: what the kernel says of a worker that runs, and what its acts reach.

`test_sandbox` asks locked-down processes what they can do. Here nobody is asked: `/proc`, sockets that listen and
inotify answer, and what this machine offers is found out without the code that is judged.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from processing.failures import OutOfBudget, WorkFailure
from processing.sandbox.limits import OPEN_FILES
from processing.work import Bounds, Result
from resources.compute.local import CPU_PER_WALL, LocalCompute
from resources.compute.permits import Permits
from resources.compute.port import Attempt
from tests.compute_trial import MISBEHAVING, children_of, eventually, task_of
from tests.watch import Watch

BOUNDS = Bounds(wall_base_s=20, wall_per_media_s=0, memory_mb=300, output_mb=64)
PR_GET_SECCOMP, PR_SET_SECCOMP, PR_GET_NO_NEW_PRIVS = 21, 22, 39
LANDLOCK_CREATE_RULESET, LANDLOCK_VERSION = 444, 1
CAP_DAC_READ_SEARCH = 1 << 2
NEW_USER_AND_NETWORK = 0x10000000 | 0x40000000

# Each is tried in a worker and must reach nothing; each is also tried in this process, where the watch must see it.
REACHING = {
    "connect": "TCP connection",
    "open a url with libav": "TCP connection",
    "send a datagram": "UDP datagram: UDP",
    "send from a pair of sockets": "local datagram: pair",
    "connect to a local socket": "local connection",
    "connect to an abstract socket": "abstract connection",
    "read the canary": "canary.mp4 read",
    "list the canary's folder": "the folder opened",
    "write the canary": "canary.mp4 written",
    "write beside the canary": "new made",
}
HARMING = (
    "write to all that is open",  # first, before others leave something open
    "kill the parent",
    "signal the owner",
    "signal through a descriptor",
    "trace the parent",
    "read the parent's memory",
    "read the owner's environment",
    "become powerful in a namespace of its own",
    "link to the canary",
    "leave a mark by a program",
    "leave a mark by a fork",
    "raise its limits",
)

libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path / "outside")
    yield made
    made.close()


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[LocalCompute]:
    made = LocalCompute(Permits(1, folder=tmp_path / "run"), workers=1, operations=[MISBEHAVING])
    yield made
    made.close()


@contextmanager
def running_worker(compute: LocalCompute, scratch: Path) -> Iterator[int]:
    """The pid of a worker that has begun its operation."""
    task = task_of("waits_for_file", scratch)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(compute.run, task, BOUNDS, media_s=0, label="waits")
        try:
            assert eventually((task.out / "started").exists)
            (pid,) = children_of(compute.nursery_pid or 0)
            yield pid
        finally:
            (task.scratch / "go").touch()
            call.result(20)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def landlock_version() -> int:
    """What the kernel answers, asked here and not through the sandbox."""
    return max(0, libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION))


def filters_offered() -> bool:
    """A filter that lies nowhere is refused as such (EFAULT) by a kernel that knows filters."""
    return libc.prctl(PR_SET_SECCOMP, 2, None) < 0 and ctypes.get_errno() == errno.EFAULT


def networks_offered() -> bool:
    """Whether a process like this one gets a network namespace of its own, if need be through one of users."""
    child = os.fork()
    if child == 0:
        os._exit(libc.unshare(0x40000000) and libc.unshare(NEW_USER_AND_NETWORK) and 1)
    return os.waitpid(child, 0)[1] == 0


def test_the_kernel_confirms_every_layer_that_it_offers(compute: LocalCompute, tmp_path: Path) -> None:
    with running_worker(compute, tmp_path / "scratch") as pid:
        status = status_of(pid)
        own, its = (
            {name: Path(f"/proc/{one}/ns/{name}").readlink() for name in ("net", "ipc")} for one in ("self", pid)
        )
    if filters_offered():
        assert status["Seccomp"] == "2"
    if libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0:
        assert status["NoNewPrivs"] == "1"
    for powers in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        # Reading what uploaders own is the one power of root that is left, and landlock says which files that means.
        assert int(status[powers], 16) & ~(CAP_DAC_READ_SEARCH if landlock_version() else 0) == 0, powers
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
    if networks_offered():
        assert own["net"] != its["net"]
        assert own["ipc"] != its["ipc"]
    assert status["TracerPid"] == "0"


def test_landlock_is_on_where_the_kernel_has_it(compute: LocalCompute, watch: Watch, tmp_path: Path) -> None:
    """The kernel shows nobody whether a process is under landlock, so it is told by a file that nothing else guards."""
    if not landlock_version():
        pytest.skip("this kernel has no landlock")
    task = task_of("tries", tmp_path / "scratch", acts=["read the canary"], canary=str(watch.canary))
    done = compute.run(task, BOUNDS, media_s=0, label="reads")
    assert done.result.facts == {"read the canary": "EACCES"}
    assert watch.touched() == []


def test_the_kernel_confirms_the_bounds(compute: LocalCompute, tmp_path: Path) -> None:
    with running_worker(compute, tmp_path / "scratch") as pid:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    soft = {line[:26].strip(): line[26:].split()[0] for line in lines}
    assert int(soft["Max cpu time"]) == CPU_PER_WALL * BOUNDS.wall_base_s
    assert int(soft["Max file size"]) == BOUNDS.output_mb << 20
    assert int(soft["Max open files"]) == OPEN_FILES
    assert int(soft["Max core file size"]) == 0
    assert BOUNDS.memory_mb << 20 < int(soft["Max data size"]) < (BOUNDS.memory_mb << 20) + (600 << 20)


def told(watch: Watch) -> dict[str, object]:
    """What acts must know to try to reach the watch."""
    return {
        "port": watch.tcp_port,
        "udp_port": watch.udp_port,
        "outside": str(watch.folder),
        "abstract": watch.abstract_name,
        "canary": str(watch.canary),
        "owner": os.getpid(),
    }


@pytest.mark.parametrize("act", REACHING)
def test_nothing_outside_is_reached(compute: LocalCompute, watch: Watch, tmp_path: Path, act: str) -> None:
    task = task_of("tries", tmp_path / "scratch", acts=[act], **told(watch))
    done = compute.run(task, BOUNDS, media_s=0, label=act)
    assert watch.touched() == []
    assert done.result.facts[act] != "done"


@pytest.mark.parametrize("act", REACHING)
def test_the_watch_would_have_seen_it(watch: Watch, tmp_path: Path, act: str) -> None:
    """The same acts where nobody is locked down: were the watch blind, the test above would prove nothing."""
    sys.path.insert(0, str(MISBEHAVING))
    try:
        import mischief
    finally:
        sys.path.remove(str(MISBEHAVING))
    mischief.tries(task_of("tries", tmp_path / "scratch", acts=[act], **told(watch)))
    assert REACHING[act] in watch.touched()


def test_nobody_is_harmed_and_nothing_is_started(compute: LocalCompute, watch: Watch, tmp_path: Path) -> None:
    compute.warm()
    nursery = compute.nursery_pid
    assert nursery is not None
    task = task_of("tries", tmp_path / "scratch", acts=list(HARMING), **told(watch))
    done: Result = compute.run(task, BOUNDS, media_s=0, label="harms").result
    assert [act for act, answer in done.facts.items() if answer == "done"] == []
    assert compute.nursery_pid == nursery
    assert [status_of(pid)["TracerPid"] for pid in (nursery, os.getpid())] == ["0", "0"]
    assert list(task.out.iterdir()) == []
    assert (tmp_path / "run" / "slot-000").stat().st_size == 0
    assert watch.touched() == []


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ("eats_memory_slowly", "more than 120 MB of memory"),
        ("asks_for_memory_at_once", "more than 120 MB of memory"),
        ("takes_the_last_byte", "more than 120 MB of memory"),
        ("writes_without_end", "a single output grew past 4 MB"),
        ("opens_without_end", "more files at once"),
        ("hangs_deaf", "longer than the 1 s"),
        ("spins", "longer than the 1 s"),
    ],
)
def test_who_goes_past_a_bound_is_ended_for_good(tmp_path: Path, operation: str, says: str) -> None:
    """Its own fault: tried once, never called transient, cause and cure in one sentence, nothing left of it."""
    attempts: list[Attempt] = []
    compute = LocalCompute(
        Permits(1, folder=tmp_path / "run"), workers=1, operations=[MISBEHAVING], on_attempt=attempts.append
    )
    wall_s = 1 if operation in ("hangs_deaf", "spins") else 20
    bounds = Bounds(wall_base_s=wall_s, wall_per_media_s=0, memory_mb=120, output_mb=4)
    task = task_of(operation, tmp_path / "scratch")
    try:
        with pytest.raises(WorkFailure) as caught:
            compute.run(task, bounds, media_s=0, label=operation)
        assert children_of(compute.nursery_pid or 0) == []
    finally:
        compute.close()
    failure = caught.value
    assert type(failure) is OutOfBudget
    assert says in failure.cause
    assert failure.cure
    assert "\n" not in failure.sentence
    assert [attempt.outcome for attempt in attempts] == ["out_of_budget"]
    assert attempts[0].ended_at - attempts[0].started_at < bounds.wall_base_s + 1
    assert attempts[0].peak_memory_bytes < (120 + 200) << 20
    assert all(path.stat().st_size <= 4 << 20 for path in task.scratch.rglob("*") if path.is_file())
