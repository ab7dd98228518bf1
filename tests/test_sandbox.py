"""Each layer of the lock-down, alone and together, judged by what a locked-down process can still do."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import fcntl
import json
import mmap
import os
import platform
import re
import resource
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from processing.sandbox import landlock, limits, lockdown, namespaces, privileges, seccomp
from processing.sandbox.limits import Limits
from tests.compute_trial import eventually

LIMITS = Limits(memory_bytes=200 << 20, cpu_s=20, file_bytes=8 << 20)
NOBODY = 65534
PR_SET_DUMPABLE = 4


def in_child(function: Callable[[], Any]) -> Any:
    """What `function` returned in a forked child, as JSON would have it; the exit code where it returned nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(answer) if answer else status


def error_of(act: Callable[[], Any]) -> str:
    """The name of the OSError an act ends in, or "done"."""
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except MemoryError:
        return "MemoryError"
    return "done"


def drop_to_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as it is after an exec: /proc/self belongs to the user


needs_landlock = pytest.mark.skipif(not landlock.available(), reason="this kernel has no landlock")
needs_seccomp = pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"} or not Path("/proc/sys/kernel/seccomp").exists(),
    reason="this kernel has no seccomp, or the machine's system calls are not known",
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


class TestNamespaces:
    def test_no_interface_is_up_so_that_loopback_is_out_of_reach(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            assert in_child(lambda: error_of(lambda: socket.create_connection(address, 1))) == "done"

            def inside() -> str:
                namespaces.apply()
                return error_of(lambda: socket.create_connection(address, 1))

            answer = in_child(inside)
        assert answer == "ENETUNREACH"

    @needs_root
    def test_an_ordinary_user_gets_them_too_and_still_writes_own_files(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            own = Path(name) / "own"
            os.chown(name, NOBODY, NOBODY)

            def inside() -> list[str]:
                drop_to_nobody()
                namespaces.apply()
                with socket.socket() as client:
                    return [error_of(lambda: own.write_text("x")), error_of(lambda: client.connect(("127.0.0.1", 9)))]

            assert in_child(inside) == ["done", "ENETUNREACH"]
            assert own.stat().st_uid == NOBODY


class TestPrivileges:
    @needs_root
    def test_root_without_its_powers_cannot_change_owners(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine"
        mine.touch()

        def inside() -> list[str]:
            privileges.apply(os.getppid(), may_read_everything=False)
            return [error_of(lambda: os.chown(mine, 1, 1)), error_of(lambda: os.setuid(1))]

        assert in_child(inside) == ["EPERM", "EPERM"]

    @needs_root
    @pytest.mark.parametrize(("kept", "answer"), [(True, "done"), (False, "EACCES")])
    def test_reading_other_users_files_is_kept_only_when_asked(self, tmp_path: Path, kept: bool, answer: str) -> None:
        theirs = tmp_path / "theirs"
        theirs.write_text("x")
        theirs.chmod(0o600)
        os.chown(theirs, NOBODY, NOBODY)

        def inside() -> str:
            privileges.apply(os.getppid(), may_read_everything=kept)
            return error_of(theirs.read_bytes)

        assert in_child(inside) == answer

    def test_a_child_dies_with_its_parent(self) -> None:
        reader, writer = os.pipe()
        parent = os.fork()
        if parent == 0:
            me = os.getpid()
            if os.fork() == 0:
                privileges.apply(me, may_read_everything=False)
                os.write(writer, str(os.getpid()).encode())
                time.sleep(60)
                os._exit(0)
            time.sleep(60)
            os._exit(0)
        child = int(os.read(reader, 20))
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
        os.close(reader)
        os.close(writer)

    def test_a_child_whose_parent_died_first_ends_at_once(self) -> None:
        def inside() -> str:
            privileges.apply(os.getpid(), may_read_everything=False)  # any pid that is not the parent's
            return "went on"

        assert in_child(inside) == 1


@needs_landlock
class TestLandlock:
    def test_only_named_paths_can_be_read_and_only_scratch_written(self, tmp_path: Path) -> None:
        named, canary, scratch = tmp_path / "named", tmp_path / "canary", tmp_path / "scratch"
        named.write_text("x")
        canary.write_text("x")
        scratch.mkdir()

        def inside() -> dict[str, str]:
            privileges.apply(os.getppid(), may_read_everything=True)
            landlock.apply([named], scratch)
            return {
                "named": error_of(named.read_bytes),
                "canary": error_of(canary.read_bytes),
                "listing": error_of(lambda: list(tmp_path.iterdir())),
                "write named": error_of(lambda: named.write_text("y")),
                "truncate named": error_of(lambda: os.truncate(named, 0)),
                "delete named": error_of(named.unlink),
                "write outside": error_of((tmp_path / "new").touch),
                "write scratch": error_of(lambda: (scratch / "new").write_text("z")),
                "link out": error_of(lambda: os.link(named, scratch / "linked")),
                "device": error_of(lambda: os.mkfifo(scratch / "pipe")),
                "parent": error_of(Path(f"/proc/{os.getppid()}/environ").read_bytes),
                "program": error_of(lambda: os.execv("/bin/true", ["true"])),
            }

        answers = in_child(inside)
        assert answers.pop("named") == "done"
        assert answers.pop("write scratch") == "done"
        assert answers.pop("link out") in {"EACCES", "EXDEV"}
        assert set(answers.values()) == {"EACCES"}, answers

    @pytest.mark.skipif(landlock.abi() < 4, reason="landlock of this kernel does not know networks")
    def test_no_connection_can_be_made_or_awaited(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()

            def inside() -> list[str]:
                privileges.apply(os.getppid(), may_read_everything=False)
                landlock.apply([], tmp_path)
                return [
                    error_of(lambda: socket.create_connection(address, 1)),
                    error_of(lambda: socket.socket().bind(("127.0.0.1", 0))),
                ]

            assert in_child(inside) == ["EACCES", "EACCES"]

    @pytest.mark.skipif(landlock.abi() < 6, reason="landlock of this kernel has no scopes")
    def test_neither_signals_nor_abstract_sockets_reach_out(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"\0sourcebound-test-{os.getpid()}")
            server.listen()
            name = server.getsockname()

            def inside() -> list[str]:
                privileges.apply(os.getppid(), may_read_everything=False)
                landlock.apply([], tmp_path)
                with socket.socket(socket.AF_UNIX) as client:
                    return [error_of(lambda: os.kill(os.getppid(), 0)), error_of(lambda: client.connect(name))]

            assert in_child(inside) == ["EPERM", "EPERM"]

    def test_the_checkout_and_its_secrets_are_not_among_what_the_interpreter_needs(self) -> None:
        root = Path(landlock.__file__).resolve().parents[2]
        assert not any(root == path or root.is_relative_to(path) for path in landlock.interpreter_reads())


@needs_seccomp
class TestSeccomp:
    ACTS: ClassVar[dict[str, Callable[[], Any]]] = {
        "socket": socket.socket,
        "pair of sockets": socket.socketpair,
        "signals through a descriptor": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()),
        "fork": os.fork,
        "program": lambda: os.execv("/bin/true", ["true"]),
        "kill": lambda: os.kill(os.getppid(), 0),
        "chmod": lambda: Path("/tmp").chmod(0o1777),
        "times": lambda: os.utime("/tmp"),
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 1),
        "affinity of others": lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(0)),
        "limits of others": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE),
        "session": os.setsid,
        "memory file": lambda: os.memfd_create("x"),
    }

    def test_what_no_decoder_needs_is_refused(self) -> None:
        def inside() -> dict[str, str]:
            libc_prctl_no_new_privs()
            seccomp.apply()
            return {name: error_of(act) for name, act in self.ACTS.items()}

        assert set(in_child(inside).values()) == {"EPERM"}

    def test_threads_and_signals_to_oneself_still_work(self) -> None:
        def inside() -> list[str]:
            libc_prctl_no_new_privs()
            seccomp.apply()
            seen: list[str] = []
            thread = threading.Thread(target=seen.append, args=("thread",))
            thread.start()
            thread.join()
            signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
            os.kill(os.getpid(), signal.SIGUSR1)
            mmap.mmap(-1, 4096).close()
            resource.getrlimit(resource.RLIMIT_DATA)
            return seen

        assert in_child(inside) == ["thread", "signal"]

    def test_an_abort_is_still_an_abort(self) -> None:
        def inside() -> None:
            libc_prctl_no_new_privs()
            seccomp.apply()
            faulthandler.disable()
            os.abort()

        assert in_child(inside) == -signal.SIGABRT

    def test_calls_newer_than_the_list_are_not_implemented(self) -> None:
        def inside() -> str:
            libc_prctl_no_new_privs()
            seccomp.apply()
            libc = ctypes.CDLL(None, use_errno=True)
            libc.syscall(seccomp.FIRST_UNKNOWN, -100, b"/tmp", 0o777, 0)
            return errno.errorcode[ctypes.get_errno()]

        assert in_child(inside) == "ENOSYS"

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_the_filter_decides_the_same_on_both_architectures(self, machine: str) -> None:
        column = ("x86_64", "aarch64").index(machine)
        arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
        code = seccomp.program(machine, 4711)
        refuse, missing, allow, kill = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000, 0x80000000
        read, execve, openat = {"x86_64": (0, 59, 257), "aarch64": (63, 221, 56)}[machine]
        for number, argument, expected in [
            (read, 0, allow),
            (openat, 0, allow),
            (execve, 0, refuse),
            (seccomp.CLONE[column], 0x10000 | 0x100, allow),
            (seccomp.CLONE[column], signal.SIGCHLD, refuse),
            (seccomp.CLONE3[column], 0, missing),
            (seccomp.KILL[column], 4711, allow),
            (seccomp.KILL[column], 4712, refuse),
            (seccomp.TGKILL[column], 4711, allow),
            (seccomp.TGKILL[column], 1, refuse),
            (seccomp.PRCTL[column], 1, refuse),
            (seccomp.PRCTL[column], 15, allow),
            (seccomp.PRLIMIT64[column], 0, allow),
            (seccomp.PRLIMIT64[column], 1, refuse),
            (seccomp.FCNTL[column], fcntl.F_SETOWN, refuse),
            (seccomp.FCNTL[column], 15, refuse),  # F_SETOWN_EX
            (seccomp.FCNTL[column], fcntl.F_SETFL, allow),
            (0x40000000 + 59, 0, missing),
        ]:
            assert run_filter(code, number, arch, argument) == expected, (number, argument)
        for name, numbers in seccomp.REFUSED.items():
            number = numbers[column]
            assert number is None or run_filter(code, number, arch, 0) == refuse, name
        assert run_filter(code, read, 0x40000003, 0) == kill  # 32-bit x86, whose numbers mean other calls

    @pytest.mark.parametrize(
        ("column", "header"),
        [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
    )
    def test_the_numbers_are_the_kernels(self, column: int, header: str) -> None:
        if not Path(header).exists():
            pytest.skip(f"needs the kernel's headers: {header}")
        pattern = re.compile(r"^#define\s+__NR(?:3264)?_(\w+)\s+(\d+)", re.MULTILINE)
        real = {name: int(number) for name, number in pattern.findall(Path(header).read_text())}
        assert {name: numbers[column] for name, numbers in seccomp.REFUSED.items()} == {
            name: real.get(name) for name in seccomp.REFUSED
        }
        for name, numbers in {
            "clone": seccomp.CLONE,
            "clone3": seccomp.CLONE3,
            "kill": seccomp.KILL,
            "tgkill": seccomp.TGKILL,
            "prctl": seccomp.PRCTL,
            "prlimit64": seccomp.PRLIMIT64,
            "fcntl": seccomp.FCNTL,
            "sched_setaffinity": seccomp.SCHED_SETAFFINITY,
        }.items():
            assert numbers[column] == real[name], name


class TestLimits:
    def test_memory_is_refused_past_the_bound_and_the_failure_can_still_be_told(self) -> None:
        def inside() -> list[str]:
            limits.apply(LIMITS)
            kept = []
            private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # new memory each: a used heap has free room to give again
            try:
                while True:
                    kept.append(mmap.mmap(-1, 1 << 20, flags=private))
            except OSError:
                limits.release_reserve()
                told = bytearray(16 << 20)
            bound = LIMITS.memory_bytes + limits.MEMORY_MARGIN_BYTES
            return [str(len(told)), str(len(kept) << 20 <= bound)]

        assert in_child(inside) == [str(16 << 20), "True"]

    def test_a_file_past_the_bound_is_an_error_not_a_full_disk(self, tmp_path: Path) -> None:
        def inside() -> str:
            limits.apply(LIMITS)
            return error_of(lambda: (tmp_path / "large").write_bytes(bytes(LIMITS.file_bytes + 1)))

        assert in_child(inside) == "EFBIG"
        assert (tmp_path / "large").stat().st_size <= LIMITS.file_bytes

    def test_open_files_are_bounded_and_nothing_dumps_core(self) -> None:
        def inside() -> list[Any]:
            limits.apply(LIMITS)
            held: list[int] = []
            answer = error_of(lambda: held.extend(os.dup(0) for _ in range(1000)))
            for descriptor in held:
                os.close(descriptor)
            return [answer, resource.getrlimit(resource.RLIMIT_CORE)]

        assert in_child(inside)[1] == [0, 0]

    def test_cpu_past_the_bound_ends_the_process(self) -> None:
        def inside() -> None:
            limits.apply(Limits(LIMITS.memory_bytes, 1, LIMITS.file_bytes))
            while True:
                pass

        assert in_child(inside) == -signal.SIGXCPU


class TestTogether:
    def test_the_layers_that_are_active_are_told(self, tmp_path: Path) -> None:
        def inside() -> list[str]:
            return [*lockdown.enclose(), *lockdown.lock_down([], tmp_path, LIMITS, parent=os.getppid())]

        offered = {
            limits.NAME: True,
            namespaces.NAME: namespaces.available(),
            privileges.NAME: privileges.available(),
            landlock.NAME: landlock.available(),
            seccomp.NAME: seccomp.available(),
        }
        assert set(in_child(inside)) <= {name for name, there in offered.items() if there}
        assert set(in_child(inside)) >= {name for name, there in offered.items() if there} - {namespaces.NAME}

    def test_a_missing_layer_leaves_the_others_standing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landlock, "available", lambda: False)

        def inside() -> list[Any]:
            active = lockdown.lock_down([], tmp_path, LIMITS, parent=os.getppid())
            return [landlock.NAME in active, error_of(socket.socket)]

        assert in_child(inside) == [False, "EPERM"]

    @needs_root
    def test_an_ordinary_user_gets_every_layer(self, tmp_path: Path) -> None:
        os.chown(tmp_path, NOBODY, NOBODY)

        def inside() -> list[str]:
            drop_to_nobody()
            return sorted([*lockdown.enclose(), *lockdown.lock_down([], tmp_path, LIMITS, parent=os.getppid())])

        assert in_child(inside) == sorted(lockdown.LAYERS)

    def test_the_report_is_of_what_was_tried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert set(lockdown.report()) == set(lockdown.LAYERS)
        monkeypatch.setattr(seccomp, "apply", lambda: None)
        assert lockdown.report()[seccomp.NAME] == "active, but a process was started"


def libc_prctl_no_new_privs() -> None:
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)


def run_filter(code: bytes, number: int, arch: int, argument: int) -> int:
    """Interpret a classic BPF program over one system call (the four instructions the filter uses).

    `argument` is the call's first; a filter that looks at the second finds the same there.
    """
    data = struct.pack("<iIQ6Q", number, arch, 0, argument, argument, 0, 0, 0, 0)
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("HBBI", code, position * 8)
        position += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
        position += if_true if holds else if_false
