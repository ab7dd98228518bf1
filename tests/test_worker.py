"""The nursery and its children: what a task can reach, what its bounds do to it, what is left when anybody dies."""

from __future__ import annotations

import errno
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import av.error
import pytest

from processing.failures import BadInput, FailureKind
from processing.manifest import FileEntry
from processing.naming import named
from processing.protocol import Kind, Order, Report, StoppedBy, paths_named, prepare
from processing.sandbox import lockdown, namespaces
from processing.sandbox.limits import Limits
from processing.work import Input, SourceFile, Task
from resources.compute.nursery import NurseryGone, NurseryProcess
from resources.identity import Identity
from tests.compute_trial import MISBEHAVING, all_dead, children_of, eventually, identity_of, task_of
from tests.corpus import corpus_file, rows

LIMITS = Limits(memory_bytes=300 << 20, cpu_s=20, file_bytes=16 << 20)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def nursery() -> Iterator[NurseryProcess]:
    process = NurseryProcess(operations=[MISBEHAVING])
    yield process
    process.close()


@contextmanager
def own_nursery() -> Iterator[NurseryProcess]:
    process = NurseryProcess(operations=[MISBEHAVING])
    try:
        yield process
    finally:
        process.close()


def order_of(
    task: Task, *, kind: Kind = Kind.OPERATION, limits: Limits = LIMITS, wall_s: float = 20.0, number: int = 1
) -> Order:
    prepare(task)
    return Order(number, kind, task.operation.partition(":")[0], task.scratch, paths_named(task), wall_s, limits)


def report_on(nursery: NurseryProcess, task: Task, **bounds: object) -> Report:
    return nursery.start(order_of(task, **bounds), None).result(30)  # type: ignore[arg-type]


def outcome_of(task: Task) -> dict[str, object]:
    for name in ("result.json", "failure.json"):
        if (task.scratch / name).exists():
            found: dict[str, object] = json.loads((task.scratch / name).read_text())
            return found
    raise AssertionError("the child left neither a result nor a failure")


def acts(nursery: NurseryProcess, task: Task) -> dict[str, str]:
    report = report_on(nursery, task)
    outcome = outcome_of(task)
    assert report.status == 0, report.log
    assert "facts" in outcome, outcome
    return outcome["facts"]  # type: ignore[return-value]


class Canary(http.server.BaseHTTPRequestHandler):
    hits: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Canary.hits.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def canary_port() -> Iterator[int]:
    Canary.hits.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class TestReach:
    REACHING_OUT = ("connect", "download", "open a url with libav")

    def test_no_request_leaves_a_worker(self, nursery: NurseryProcess, tmp_path: Path, canary_port: int) -> None:
        task = task_of("tries", tmp_path, acts=[*self.REACHING_OUT, "socket", "bind"], port=canary_port)
        assert "done" not in acts(nursery, task).values()
        assert Canary.hits == []

    def test_the_nursery_has_left_the_machines_network(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        """A second wall: were seccomp missing or holed, there would still be no interface to send through."""
        if lockdown.report()[namespaces.NAME] is not True:
            pytest.skip("this system refuses new namespaces")
        report_on(nursery, task_of("nothing", tmp_path))  # it has started by now
        assert Path(f"/proc/{nursery.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()

    def test_the_canary_would_have_noticed(self, tmp_path: Path, canary_port: int) -> None:
        """The same acts in a process that is not locked down are all seen: the test above can fail."""
        sys.path.insert(0, str(MISBEHAVING))
        try:
            import mischief
        finally:
            sys.path.remove(str(MISBEHAVING))
        mischief.tries(task_of("tries", tmp_path, acts=self.REACHING_OUT, port=canary_port))
        eventually(lambda: len(Canary.hits) >= 3)
        assert {"/urllib", "/libav.mp4", "/socket"} <= set(Canary.hits)

    def test_only_what_the_task_names_can_be_read(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        canary, original, folder = tmp_path / "home" / "canary", tmp_path / "home" / "original", tmp_path / "input"
        for path in (canary, original, folder / "fact.txt"):
            path.parent.mkdir(exist_ok=True)
            path.write_text("secret")
        may = ["read the original", "read an input"]
        may_not = ["read the canary", "list the canary's folder", "read the owner's environment"]
        task = task_of("tries", tmp_path / "scratch", original, acts=[*may, *may_not], canary=str(canary))
        named_input = Input("input", folder, (FileEntry("fact.txt", 6, ""),), {}, "")
        task = Task(task.operation, task.parameters, task.scratch, source=task.source, inputs={"input": named_input})
        answers = acts(nursery, task)
        assert [answers[name] for name in may] == ["done", "done"]
        assert {answers[name] for name in may_not} == {"EACCES"}

    def test_only_scratch_can_be_written(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        canary, original = tmp_path / "canary", tmp_path / "original"
        canary.write_text("as it was")
        original.write_text("as it was")
        may = ["write to out", "move within scratch"]
        may_not = [
            "write the canary",
            "write beside the canary",
            "write the original",
            "delete the original",
            "open up the original",
            "touch the original",
        ]
        before = original.stat()
        task = task_of("tries", tmp_path / "scratch", original, acts=[*may, *may_not], canary=str(canary))
        answers = acts(nursery, task)
        assert [answers[name] for name in may] == ["done", "done"]
        assert {answers[name] for name in may_not} <= {"EACCES", "EPERM"}
        assert original.stat() == before or original.stat().st_mtime_ns == before.st_mtime_ns
        assert canary.read_text() == original.read_text() == "as it was"
        assert not (tmp_path / "new").exists()

    def test_no_program_and_no_process_is_started(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        names = ["program", "shell", "fork", "kill the parent", "outlive the parent", "raise its limits"]
        answers = acts(nursery, task_of("tries", tmp_path, acts=names))
        assert set(answers.values()) <= {"EPERM", "EACCES", "ValueError"}, answers

    def test_what_work_needs_still_works(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        answers = acts(nursery, task_of("tries", tmp_path, acts=["thread", "pillow", "write to out"]))
        assert set(answers.values()) == {"done"}

    def test_a_child_lives_in_its_own_session_and_folders(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        assert acts(nursery, task_of("nothing", tmp_path)) == {
            "cwd": str(tmp_path / "cwd"),
            "listing": [],
            "temporary": str(tmp_path / "tmp"),
            "leads its session": True,
        }

    def test_only_operations_of_the_processing_room_run(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        task = Task("os:getcwd", {}, tmp_path)
        report_on(nursery, task)
        assert outcome_of(task)["kind"] == "contract"


class TestBounds:
    def test_the_wall_clock(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        report = report_on(nursery, task_of("hangs_deaf", tmp_path), wall_s=0.3)
        assert report.stopped_by is StoppedBy.WALL_CLOCK
        assert 0.3 <= report.ended_at - report.started_at < 1.5

    def test_cpu(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        report = report_on(nursery, task_of("spins", tmp_path), limits=Limits(300 << 20, 1, 1 << 20))
        assert report.status == -signal.SIGXCPU
        assert report.cpu_s == pytest.approx(1, abs=0.3)

    def test_memory_that_grows_ends_the_child_near_its_bound(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        limits = Limits(120 << 20, 20, 1 << 20)
        report = report_on(nursery, task_of("eats_memory_slowly", tmp_path), limits=limits)
        assert report.stopped_by is StoppedBy.MEMORY
        assert report.peak_memory_bytes < limits.memory_bytes + (100 << 20)

    def test_memory_asked_for_at_once_is_refused(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        task = task_of("asks_for_memory_at_once", tmp_path)
        report_on(nursery, task)
        assert outcome_of(task)["kind"] == "out_of_budget"

    def test_a_child_without_a_byte_left_can_still_say_so(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        task = task_of("takes_the_last_byte", tmp_path)
        report = report_on(nursery, task)
        assert report.status == 0, report.log
        assert outcome_of(task)["kind"] == "out_of_budget"

    def test_the_size_of_a_file(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        task = task_of("writes_without_end", tmp_path)
        report_on(nursery, task)
        assert outcome_of(task)["kind"] == "out_of_budget"
        assert (tmp_path / "out" / "large.bin").stat().st_size <= LIMITS.file_bytes

    def test_what_it_prints(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        report = report_on(nursery, task_of("prints_without_end", tmp_path))
        assert len(report.log) <= 64 << 10
        assert report.log.startswith("the first line")
        assert report.log.endswith("the last line\n")


class TestDeaths:
    def test_a_crash_leaves_its_traceback_in_the_log(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        report = report_on(nursery, task_of("segfaults", tmp_path))
        assert report.status == -signal.SIGSEGV
        assert "in segfaults" in report.log

    def test_one_child_is_killed_and_the_others_go_on(self, nursery: NurseryProcess, tmp_path: Path) -> None:
        doomed, patient = task_of("hangs", tmp_path / "1"), task_of("waits_for_file", tmp_path / "2")
        first = nursery.start(order_of(doomed, number=11), None)
        second = nursery.start(order_of(patient, number=12), None)
        assert eventually(lambda: (doomed.out / "started").exists() and (patient.out / "started").exists())
        nursery.kill(11)
        assert first.result(20).stopped_by is StoppedBy.OWNER
        (patient.scratch / "go").touch()
        assert second.result(20).status == 0

    def test_a_killed_nursery_takes_its_children_along(self, tmp_path: Path) -> None:
        with own_nursery() as nursery:
            task = task_of("hangs_deaf", tmp_path)
            waiting = nursery.start(order_of(task), None)
            assert eventually((task.out / "started").exists)
            (child,) = children_of(nursery.pid)
            identity = identity_of(child)
            os.kill(nursery.pid, signal.SIGKILL)
            with pytest.raises(NurseryGone):
                waiting.result(20)
            assert eventually(lambda: all_dead(identity))

    def test_a_closed_nursery_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with own_nursery() as nursery:
            task = task_of("hangs_deaf", tmp_path)
            nursery.start(order_of(task), None)
            assert eventually((task.out / "started").exists)
            identities = [identity_of(nursery.pid), *map(identity_of, children_of(nursery.pid))]
            assert len(identities) == 2
        assert eventually(lambda: all_dead(*identities))

    @pytest.mark.parametrize("end", ["wall clock", "owner", "close", "child killed"])
    def test_where_no_layer_is_offered_the_nursery_still_ends_a_child_and_all_it_started(
        self, tmp_path: Path, end: str
    ) -> None:
        with own_nursery() as nursery:
            task = task_of("hangs_with_a_child", tmp_path)
            nursery.start(order_of(task, wall_s=2 if end == "wall clock" else 60), None)
            assert eventually(lambda: (task.out / "started").exists() and (task.out / "started").read_text())
            (child,) = children_of(nursery.pid)
            identities = [identity_of(child), identity_of(int((task.out / "started").read_text()))]
            if end == "owner":
                nursery.kill(1)
            if end == "child killed":
                os.kill(child, signal.SIGKILL)
            if end == "close":
                nursery.close()
            assert eventually(lambda: all_dead(*identities), within_s=10)

    def test_ctrl_c_and_termination_are_left_to_the_owner(self, tmp_path: Path) -> None:
        with own_nursery() as nursery:
            task = task_of("waits_for_file", tmp_path)
            waiting = nursery.start(order_of(task), None)
            assert eventually((task.out / "started").exists)
            for pid in (nursery.pid, *children_of(nursery.pid)):
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.1)
            (tmp_path / "go").touch()
            assert waiting.result(20).status == 0

    def test_a_killed_owner_leaves_no_process_even_where_a_fork_holds_its_socket(self, tmp_path: Path) -> None:
        """A forked copy of the owner kept the socket open, so that its end alone would never have been noticed."""
        task = task_of("hangs_deaf", tmp_path / "scratch")
        order = order_of(task)
        script = (
            "import json, os, sys, time; from pathlib import Path\n"
            "from processing.protocol import Order; from resources.compute.nursery import NurseryProcess\n"
            f"nursery = NurseryProcess(operations=[Path({str(MISBEHAVING)!r})])\n"
            f"nursery.start(Order.from_json(json.loads({json.dumps(order.to_json())!r})), None)\n"
            "fork = os.fork()\n"
            "if fork: print(nursery.pid, fork, flush=True)\n"
            "time.sleep(60)\n"
        )
        owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert owner.stdout is not None
        nursery, fork = map(int, owner.stdout.readline().split())
        assert eventually((task.out / "started").exists)
        identities = [identity_of(nursery), *map(identity_of, children_of(nursery))]
        try:
            owner.kill()
            owner.wait()
            assert len(identities) == 2
            assert eventually(lambda: all_dead(*identities))
        finally:
            os.kill(fork, signal.SIGKILL)


class TestNaming:
    """What becomes of exceptions that reach the end of an operation."""

    TASK = Task("processing.x:y", {}, Path("/scratch"), source=SourceFile(Path("/kept/original"), "", 0))

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (MemoryError(), FailureKind.OUT_OF_BUDGET),
            (OSError(errno.ENOSPC, "No space left on device"), FailureKind.TRANSIENT),
            (OSError(errno.EDQUOT, "Disk quota exceeded"), FailureKind.TRANSIENT),
            (OSError(errno.EFBIG, "File too large"), FailureKind.OUT_OF_BUDGET),
            (OSError(errno.EMFILE, "Too many open files"), FailureKind.OUT_OF_BUDGET),
            (OSError(errno.ENOMEM, "Cannot allocate memory"), FailureKind.OUT_OF_BUDGET),
            (av.error.FFmpegError(errno.ENOMEM, "Cannot allocate memory"), FailureKind.OUT_OF_BUDGET),
            (av.error.FFmpegError(errno.EMFILE, "Too many open files"), FailureKind.OUT_OF_BUDGET),
            (OSError("image file is truncated"), FailureKind.BAD_INPUT),
            (FileNotFoundError(errno.ENOENT, "No such file", "/kept/original"), FailureKind.TRANSIENT),
            (PermissionError(errno.EACCES, "Permission denied", "/kept/original"), FailureKind.BAD_INPUT),
            (PermissionError(errno.EACCES, "Permission denied", "/etc/passwd"), FailureKind.CONTRACT),
            (av.error.InvalidDataError(1094995529, "Invalid data found when processing input"), FailureKind.BAD_INPUT),
            (KeyError("missing"), FailureKind.CONTRACT),
            (BadInput("as the operation said"), FailureKind.BAD_INPUT),
        ],
    )
    def test_each_exception_has_one_name(self, error: Exception, kind: FailureKind) -> None:
        failure = named(error, self.TASK, Kind.OPERATION, LIMITS)
        assert failure.kind is kind
        assert failure.detail
        assert "Traceback" not in failure.sentence

    def test_a_full_disk_behind_another_failure_is_still_a_full_disk(self) -> None:
        """Who reads and writes in one block blamed the file: a full disk put good files into quarantine."""
        blamed = BadInput("the file is damaged")
        blamed.__cause__ = OSError(errno.ENOSPC, "No space left on device")
        assert named(blamed, self.TASK, Kind.OPERATION, LIMITS).kind is FailureKind.TRANSIENT

    def test_in_a_contract_unreadable_means_that_the_output_is_broken(self) -> None:
        error = av.error.InvalidDataError(1094995529, "Invalid data found when processing input")
        assert named(error, self.TASK, Kind.CONTRACT, LIMITS).kind is FailureKind.CONTRACT

    def test_a_fault_of_ours_does_not_blame_the_file(self) -> None:
        failure = named(KeyError("missing"), self.TASK, Kind.OPERATION, LIMITS)
        assert failure.kind is FailureKind.CONTRACT
        assert "fault in sourcebound" in failure.sentence


@pytest.mark.parametrize(
    "relative", [row["path"] for row in rows() if row["path"].startswith("hostile/")] or ["absent"]
)
def test_hostile_files_end_in_a_named_outcome(nursery: NurseryProcess, tmp_path: Path, relative: str) -> None:
    path = corpus_file(relative)
    report = report_on(nursery, task_of("decode", tmp_path, path))
    assert report.status == 0, report.log
    assert outcome_of(task_of("decode", tmp_path, path)).get("kind", "result") in {
        "result",
        "bad_input",
        "out_of_budget",
    }


def test_a_good_file_is_decoded_inside(nursery: NurseryProcess, tmp_path: Path) -> None:
    good = next((row for row in rows() if row["kind"] == "video" and row["expected"] == "ok"), {"path": "absent"})
    task = task_of("decode", tmp_path, corpus_file(good["path"]))
    report_on(nursery, task)
    assert outcome_of(task)["facts"]["frames"] > 0  # type: ignore[index]


def test_the_interpreter_of_the_nursery_is_isolated(nursery: NurseryProcess) -> None:
    environment = Path(f"/proc/{nursery.pid}/environ").read_bytes()
    assert b"PATH" not in {entry.partition(b"=")[0] for entry in environment.split(b"\0")}
    assert Identity.current().boot_id.encode() not in environment
    command = Path(f"/proc/{nursery.pid}/cmdline").read_bytes().split(b"\0")
    assert b"-I" in command
    assert os.getsid(nursery.pid) == nursery.pid  # a Ctrl-C on the owner's terminal does not reach it
