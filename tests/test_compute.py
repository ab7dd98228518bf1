"""Local compute: bounds end in named failures, tries are counted and limited, permits and processes never leak."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processing.failures import (
    BadInput,
    ContractBroken,
    Interrupted,
    OutOfBudget,
    Poison,
    SickWorker,
    Transient,
    WorkFailure,
)
from processing.manifest import FileEntry, Outcome
from processing.protocol import Kind, Order, Report, StoppedBy
from processing.sandbox.limits import Limits
from processing.work import Bounds, Input, Result, Task
from resources.compute.local import LocalCompute
from resources.compute.outcomes import Outcome as Judged
from resources.compute.outcomes import judge
from resources.compute.permits import Permits
from resources.compute.port import Attempt, usage_of
from resources.identity import Identity, is_alive
from tests.compute_trial import BOUNDS, MISBEHAVING, all_dead, children_of, eventually, identity_of, task_of

ROOT = Path(__file__).parents[1]


class Trial:
    """A local compute with its permits and everything it reported."""

    def __init__(self, folder: Path, *, workers: int = 2, permits: int = 2) -> None:
        self.attempts: list[Attempt] = []
        self.permits = Permits(permits, folder=folder / "run")
        self.compute = LocalCompute(
            self.permits, workers=workers, on_attempt=self.attempts.append, operations=[MISBEHAVING]
        )

    def failure(self, task: Task, bounds: Bounds = BOUNDS, *, media_s: float = 0.0) -> WorkFailure:
        with pytest.raises(WorkFailure) as caught:
            self.compute.run(task, bounds, media_s=media_s, label="a trial")
        return caught.value

    def child(self) -> int:
        nursery = self.compute.nursery_pid
        assert nursery is not None
        (child,) = children_of(nursery)
        return child


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    made = Trial(tmp_path)
    yield made
    made.compute.close()


def test_a_task_comes_back_with_its_result_and_what_it_used(trial: Trial, tmp_path: Path) -> None:
    before = time.time()
    done = trial.compute.run(task_of("nothing", tmp_path / "scratch"), BOUNDS, media_s=1, label="one of them")
    assert done.result.encoder_calls == 3
    assert 0 < done.usage.cpu_s < 1
    assert 10 << 20 < done.usage.peak_memory_bytes < 300 << 20
    assert before <= done.usage.started_at <= done.usage.ended_at <= time.time()
    assert done.usage.wall_s == pytest.approx(done.usage.ended_at - done.usage.started_at)
    (attempt,) = trial.attempts
    assert (attempt.label, attempt.number, attempt.outcome, attempt.encoder_calls) == ("one of them", 1, "succeeded", 3)
    assert (attempt.started_at, attempt.ended_at) == (done.usage.started_at, done.usage.ended_at)
    assert attempt.cpu_s == done.usage.cpu_s


def test_a_contract_comes_back_with_its_verdicts(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "fact.txt").write_text("false")
    made = Input("thing", tmp_path / "made", (FileEntry("fact.txt", 5, ""),), {}, "")
    (verdict,), usage = trial.compute.check(
        task_of("judges", tmp_path / "scratch", made=made), BOUNDS, media_s=0, label="judged"
    )
    assert (verdict.outcome, verdict.found) == (Outcome.FAILED, "false")
    assert usage.attempts == 1


@pytest.mark.parametrize(
    ("operation", "kind", "says"),
    [
        ("eats_memory_slowly", OutOfBudget, "more than 120 MB of memory"),
        ("asks_for_memory_at_once", OutOfBudget, "more than 120 MB of memory"),
        ("writes_without_end", OutOfBudget, "a single output grew past"),
        ("hangs_deaf", OutOfBudget, "longer than the 1 s"),
        ("fails_to_find_room", Transient, "disk"),
        ("fails_by_a_fault_of_its_own", ContractBroken, "KeyError"),
        ("prints_without_end", BadInput, "it talked too much"),
    ],
)
def test_every_bound_and_every_failure_has_its_name_and_no_second_try(
    trial: Trial, tmp_path: Path, operation: str, kind: type[WorkFailure], says: str
) -> None:
    bounds = Bounds(
        wall_base_s=1.0 if operation == "hangs_deaf" else 20, wall_per_media_s=0, memory_mb=120, output_mb=4
    )
    failure = trial.failure(task_of(operation, tmp_path / "scratch"), bounds)
    assert isinstance(failure, kind)
    assert says in failure.cause
    assert failure.cure
    assert [attempt.outcome for attempt in trial.attempts] == [kind.kind.value]
    usage = usage_of(failure)
    assert usage is not None
    assert usage.attempts == 1


def test_the_wall_clock_grows_with_the_media(trial: Trial, tmp_path: Path) -> None:
    bounds = Bounds(wall_base_s=0.2, wall_per_media_s=0.1, memory_mb=300)
    failure = trial.failure(task_of("hangs", tmp_path / "scratch"), bounds, media_s=5)
    assert isinstance(failure, OutOfBudget)
    assert trial.attempts[0].ended_at - trial.attempts[0].started_at == pytest.approx(0.7, abs=0.3)


@pytest.mark.parametrize("operation", ["segfaults", "aborts", "leaves_nothing", "leaves_status_7", "leaves_nonsense"])
def test_a_crash_is_tried_once_more_and_then_is_poison(trial: Trial, tmp_path: Path, operation: str) -> None:
    failure = trial.failure(task_of(operation, tmp_path / "scratch"))
    assert isinstance(failure, Poison)
    assert [attempt.number for attempt in trial.attempts] == [1, 2]


def test_a_crash_that_does_not_repeat_is_forgiven(trial: Trial, tmp_path: Path) -> None:
    done = trial.compute.run(task_of("crashes_once", tmp_path / "scratch"), BOUNDS, media_s=0, label="a trial")
    assert done.result.facts == {"second": True}
    assert [attempt.outcome for attempt in trial.attempts] == ["poison", "succeeded"]
    assert done.usage.attempts == 2
    assert done.usage.cpu_s == pytest.approx(sum(attempt.cpu_s for attempt in trial.attempts))


def test_an_outcome_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """A child that was taken over would choose which file its owner reads and publishes."""
    canary = tmp_path / "canary"
    canary.write_text(json.dumps(Result(facts={"stolen": True}).to_json()))
    (tmp_path / "result.json").symlink_to(canary)
    assert isinstance(outcome_in(tmp_path).failure, Poison)


def test_an_outcome_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    assert isinstance(outcome_in(tmp_path).failure, Poison)


def outcome_in(scratch: Path) -> Judged:
    order = Order(1, Kind.OPERATION, "", scratch, (), 1.0, Limits(1 << 20, 1, 1 << 20))
    return judge(order, Report(1, 0, StoppedBy.NOBODY, 0.0, 1.0, 0.5, 1, ""))


def test_a_second_try_sees_nothing_of_the_first(trial: Trial, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "out").mkdir(parents=True)
    (scratch / "out" / "half.bin").write_text("left by a try that was killed")
    (scratch / "result.json").write_text("{}")
    trial.compute.run(task_of("nothing", scratch), BOUNDS, media_s=0, label="a trial")
    assert list((scratch / "out").iterdir()) == []


def test_nothing_a_hostile_child_left_is_written_through(trial: Trial, tmp_path: Path) -> None:
    """A link in the place of the task file would have had its target overwritten with the owner's rights."""
    canary, folder = tmp_path / "canary", tmp_path / "folder"
    canary.write_text("as it was")
    folder.mkdir()
    (folder / "kept").touch()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "task.json").symlink_to(canary)
    (scratch / "out").symlink_to(folder)
    trial.compute.run(task_of("nothing", scratch), BOUNDS, media_s=0, label="a trial")
    assert canary.read_text() == "as it was"
    assert (folder / "kept").exists()
    assert not (scratch / "out").is_symlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_nobodys_fault_even_where_there_is_no_room_to_say_so(trial: Trial, small_disk: Path) -> None:
    """A child that could not write its failure down looked like one that crashes on its input: quarantined."""
    failure = trial.failure(task_of("fills_the_disk", small_disk / "scratch"))
    assert isinstance(failure, Transient)
    assert "disk is full" in failure.cause


def test_a_full_disk_before_the_start_is_named_too(trial: Trial, small_disk: Path) -> None:
    task = task_of("nothing", small_disk / "scratch", padding="x" * 300_000)
    failure = trial.failure(task)
    assert isinstance(failure, Transient)
    assert "disk is full" in failure.cause
    assert usage_of(failure) is None


def test_a_result_that_was_ready_just_before_the_bound_counts(tmp_path: Path) -> None:
    """Reaped after its deadline though it had ended before: the work was thrown away as too long."""
    task = task_of("nothing", tmp_path / "scratch")
    (task.scratch / "result.json").write_text(json.dumps(Result(encoder_calls=1).to_json()))
    order = Order(1, Kind.OPERATION, "", task.scratch, (), 1.0, Limits(1 << 20, 1, 1 << 20))
    outcome = judge(order, Report(1, 0, StoppedBy.WALL_CLOCK, 0.0, 1.0, 0.5, 1, ""))
    assert outcome.value == Result(encoder_calls=1)


@pytest.mark.parametrize(
    ("status", "cpu_s", "peak_bytes", "kind"),
    [
        (-signal.SIGXCPU, 1.0, 0, OutOfBudget),
        (-signal.SIGKILL, 10.0, 0, OutOfBudget),
        (-signal.SIGKILL, 1.0, 0, SickWorker),
        (-signal.SIGXFSZ, 1.0, 0, OutOfBudget),
        (-signal.SIGSEGV, 1.0, 0, Poison),
        (-signal.SIGSEGV, 1.0, 99 << 20, OutOfBudget),
        (-signal.SIGTERM, 1.0, 0, SickWorker),
        (97, 1.0, 0, SickWorker),
        (98, 1.0, 0, Transient),
    ],
)
def test_each_death_has_one_name(
    tmp_path: Path, status: int, cpu_s: float, peak_bytes: int, kind: type[WorkFailure]
) -> None:
    order = Order(1, Kind.OPERATION, "", tmp_path, (), 60.0, Limits(100 << 20, 10, 1 << 20))
    outcome = judge(order, Report(1, status, StoppedBy.NOBODY, 0.0, 1.0, cpu_s, peak_bytes, "printed"))
    assert type(outcome.failure) is kind
    assert outcome.failure.cure
    assert "printed" in outcome.failure.detail


def killer(trial: Trial, task: Task, whom: str, times: int) -> threading.Thread:
    """Kill the child, or its nursery, each time a try has started."""

    def hunt() -> None:
        hunted: set[int] = set()
        for _ in range(times):

            def started() -> int | None:
                nursery = trial.compute.nursery_pid
                fresh = [pid for pid in children_of(nursery) if pid not in hunted] if nursery else []
                return fresh[0] if fresh and (task.out / "started").exists() else None

            child = eventually(started)
            hunted.add(child)
            os.kill(child if whom == "child" else trial.compute.nursery_pid or 0, signal.SIGKILL)

    thread = threading.Thread(target=hunt)
    thread.start()
    return thread


@pytest.mark.parametrize("whom", ["child", "nursery"])
def test_a_worker_killed_from_outside_is_tried_again(trial: Trial, tmp_path: Path, whom: str) -> None:
    task = task_of("waits_for_file", tmp_path / "scratch")
    thread = killer(trial, task, whom, times=1)
    threading.Thread(target=lambda: (thread.join(), (task.scratch / "go").touch())).start()
    done = trial.compute.run(task, BOUNDS, media_s=0, label="a trial")
    assert done.usage.attempts == 2
    assert [attempt.outcome for attempt in trial.attempts] == ["sick_worker", "succeeded"]


@pytest.mark.parametrize("whom", ["child", "nursery"])
def test_a_worker_killed_at_every_try_is_sick_after_its_attempts(trial: Trial, tmp_path: Path, whom: str) -> None:
    task = task_of("hangs", tmp_path / "scratch")
    thread = killer(trial, task, whom, times=BOUNDS.attempts)
    failure = trial.failure(task)
    thread.join()
    assert isinstance(failure, SickWorker)
    assert len(trial.attempts) == BOUNDS.attempts
    assert eventually(lambda: trial.permits.in_use() == 0)


def test_no_more_children_than_permits_and_what_needs_none_does_not_wait(tmp_path: Path) -> None:
    trial = Trial(tmp_path, workers=3, permits=2)
    tasks = [task_of("waits_for_file", tmp_path / str(number)) for number in range(5)]
    try:
        with ThreadPoolExecutor(5) as pool:
            calls = [pool.submit(trial.compute.run, task, BOUNDS, media_s=0, label="a trial") for task in tasks]
            assert eventually(lambda: sum((task.out / "started").exists() for task in tasks) == 2)
            time.sleep(0.2)
            assert sum((task.out / "started").exists() for task in tasks) == 2
            probe = task_of("nothing", tmp_path / "probe")
            trial.compute.run(probe, BOUNDS, media_s=0, needs_permit=False, label="needs none")
            for task in tasks:
                (task.scratch / "go").touch()
            assert len({call.result(20).result.facts["pid"] for call in calls}) == 5
    finally:
        trial.compute.close()
    assert trial.permits.in_use() == 0


def test_workers_bound_one_caller_below_the_permits(tmp_path: Path) -> None:
    trial = Trial(tmp_path, workers=1, permits=2)
    tasks = [task_of("waits_for_file", tmp_path / str(number)) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(trial.compute.run, task, BOUNDS, media_s=0, label="a trial") for task in tasks]
        assert eventually(lambda: any((task.out / "started").exists() for task in tasks))
        time.sleep(0.2)
        assert trial.permits.in_use() == 1
        for task in tasks:
            (task.scratch / "go").touch()
        for call in calls:
            call.result(10)
    trial.compute.close()


def test_the_permit_is_the_childs_as_long_as_it_lives(trial: Trial, tmp_path: Path) -> None:
    task = task_of("waits_for_file", tmp_path / "scratch")

    def held() -> list[str]:
        return [str(link.readlink()) for link in sorted(Path(f"/proc/{trial.child()}/fd").iterdir())][3:]

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(trial.compute.run, task, BOUNDS, media_s=0, label="a trial")
        assert eventually((task.out / "started").exists)
        assert eventually(lambda: held() == [str(tmp_path / "run" / "slot-000")]), held()
        (task.scratch / "go").touch()
        call.result(10)
    assert trial.permits.in_use() == 0


def test_a_stop_lets_running_work_finish_and_starts_nothing_new(tmp_path: Path) -> None:
    trial = Trial(tmp_path, workers=1)
    running, waiting = task_of("waits_for_file", tmp_path / "1"), task_of("nothing", tmp_path / "2")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(trial.compute.run, running, BOUNDS, media_s=0, label="running")
        assert eventually((running.out / "started").exists)
        second = pool.submit(trial.compute.run, waiting, BOUNDS, media_s=0, label="waiting")
        trial.compute.request_stop()
        with pytest.raises(Interrupted):
            second.result(20)
        (running.scratch / "go").touch()
        assert first.result(20).result.facts
    assert isinstance(trial.failure(waiting), Interrupted)
    trial.compute.close()


def test_killing_all_interrupts_whoever_waits(trial: Trial, tmp_path: Path) -> None:
    task = task_of("hangs_deaf", tmp_path / "scratch")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(trial.compute.run, task, BOUNDS, media_s=0, label="a trial")
        assert eventually((task.out / "started").exists)
        trial.compute.kill_all()
        with pytest.raises(Interrupted) as caught:
            call.result(20)
    assert usage_of(caught.value) is not None
    assert [attempt.outcome for attempt in trial.attempts] == ["interrupted"]


def test_a_caller_that_is_interrupted_takes_its_child_along(trial: Trial, tmp_path: Path) -> None:
    """A Ctrl-C in the caller left a decoder running whose result nobody wanted."""
    task = task_of("hangs_deaf", tmp_path / "scratch")
    seen: list[Identity] = []

    def interrupt(*_: object) -> None:
        seen.append(identity_of(trial.child()))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            trial.compute.run(task, BOUNDS, media_s=0, label="a trial")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert eventually(lambda: all_dead(*seen), within_s=10)  # half its wall clock
    assert eventually(lambda: trial.permits.in_use() == 0)


def test_closing_leaves_no_process_and_no_permit(trial: Trial, tmp_path: Path) -> None:
    task = task_of("hangs_deaf", tmp_path / "scratch")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(trial.compute.run, task, BOUNDS, media_s=0, label="a trial")
        assert eventually((task.out / "started").exists)
        nursery = trial.compute.nursery_pid
        assert nursery is not None
        identities = [identity_of(nursery), identity_of(trial.child())]
        trial.compute.close()
        trial.compute.close()
        with pytest.raises(Interrupted):
            call.result(20)
    assert eventually(lambda: all_dead(*identities))
    assert trial.permits.in_use() == 0


def test_a_killed_owner_leaves_no_process_and_frees_its_permit(tmp_path: Path) -> None:
    permits = Permits(1, folder=tmp_path / "run")
    script = (
        "from pathlib import Path; from resources.compute.local import LocalCompute\n"
        "from resources.compute.permits import Permits; from tests.compute_trial import *\n"
        f"tmp = Path({str(tmp_path)!r})\n"
        "compute = LocalCompute(Permits(1, folder=tmp / 'run'), workers=1, operations=[MISBEHAVING])\n"
        "compute.warm(); print(compute.nursery_pid, flush=True)\n"
        "compute.run(task_of('hangs_deaf', tmp / 'scratch'), BOUNDS, media_s=0, label='a trial')\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    nursery = int(owner.stdout.readline())
    assert eventually((tmp_path / "scratch" / "out" / "started").exists, within_s=20)
    identities = [identity_of(nursery), *map(identity_of, children_of(nursery))]
    assert permits.in_use() == 1
    owner.kill()
    owner.wait()
    assert len(identities) == 2
    assert eventually(lambda: all_dead(*identities))
    assert eventually(lambda: permits.in_use() == 0)


def test_forking_and_locking_down_cost_a_few_milliseconds_of_cpu(trial: Trial, tmp_path: Path) -> None:
    for number in range(5):
        trial.compute.run(task_of("nothing", tmp_path / str(number)), BOUNDS, media_s=0, label="a trial")
    assert min(attempt.cpu_s for attempt in trial.attempts) < 0.025


def test_a_process_is_known_by_more_than_its_pid() -> None:
    me = Identity.current()
    assert Identity.from_text(me.to_text()) == me
    assert is_alive(me) is True
    assert is_alive(Identity(me.host, me.boot_id, me.pid, me.started - 1)) is False  # its pid was given out again
    assert is_alive(Identity(me.host, "another-boot", me.pid, me.started)) is False
    assert is_alive(Identity("elsewhere/1", me.boot_id, me.pid, me.started)) is None
    with pytest.raises(ValueError, match="not the identity"):
        Identity.from_text("4711")


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = identity_of(child.pid)
    assert is_alive(identity) is True
    child.kill()
    assert eventually(lambda: is_alive(identity) is False)
    child.wait()
    assert is_alive(identity) is False
