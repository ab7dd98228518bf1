"""Operations and contracts that misbehave in one way each, found by a nursery that was given this folder.

Belongs here: what a hostile file could make a decoder do, written down as plain code. Does not belong here: assertions.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processing.failures import BadInput
from processing.manifest import Outcome, Verdict
from processing.probe.opening import open_media
from processing.work import Result, Task


def nothing(task: Task) -> Result:
    here = Path.cwd()
    facts = {
        "cwd": str(here),
        "listing": [path.name for path in here.iterdir()],
        "temporary": tempfile.gettempdir(),
        "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
    }
    return Result(facts=facts, encoder_calls=3)


def tries(task: Task) -> Result:
    """Every act the task names, and what came of it: "done" or the error."""
    return Result(facts={name: _outcome(ACTS[name], task) for name in task.parameters["acts"]})


def _outcome(act: Callable[[Task], Any], task: Task) -> str:
    try:
        act(task)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:  # noqa: BLE001  the answer is its name
        return type(error).__name__
    return "done"


def _connect(task: Task) -> None:
    with socket.create_connection(("127.0.0.1", task.parameters["port"]), timeout=2) as connection:
        connection.sendall(b"GET /socket HTTP/1.0\r\n\r\n")


def _download(task: Task) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{task.parameters['port']}/urllib", timeout=2).read()


def _open_url(task: Task) -> None:
    import av

    av.open(f"http://127.0.0.1:{task.parameters['port']}/libav.mp4", timeout=2)


def _send_datagram(task: Task) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"UDP", ("127.0.0.1", task.parameters["udp_port"]))


def _send_from_pair(task: Task) -> None:
    """One end of a pair of datagram sockets sends to whatever has a path, without a socket or connect of its own."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"pair", f"{task.parameters['outside']}/datagrams")


def _connect_local(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)


def _write_to_all_that_is_open(task: Task) -> None:
    """Whatever was open before the lock-down stays so; not counted is where it prints to."""
    for descriptor in range(3, 256):
        with contextlib.suppress(BlockingIOError):
            try:
                os.write(descriptor, b"written")
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                continue
            return
    raise OSError(errno.EBADF, "nothing that is open can be written to")


def _signal_by_descriptor(task: Task) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(reader, 10, signal.SIGTERM)  # F_SETSIG
    fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid())
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")


def _leave_mark_by_program(task: Task) -> None:
    subprocess.run(["/bin/sh", "-c", f"echo > {task.out}/program-ran"], check=True)


def _leave_mark_by_fork(task: Task) -> None:
    child = os.fork()
    if child == 0:
        (task.out / "fork-ran").touch()
        os._exit(0)
    os.waitpid(child, 0)


def _libc_call(name: str, *arguments: int) -> None:
    """A function of the C library that answers -1 where it fails."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*(ctypes.c_long(each) for each in arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def _open_without_end(task: Task) -> None:
    kept = []
    while True:
        kept.append((task.out / "many").open("ab"))


def _start_thread(task: Task) -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _write(path: Path) -> None:
    path.write_text("written")


def _kill_parent(task: Task) -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def _import_pillow_plugins(task: Task) -> None:
    from PIL import Image

    Image.init()


ACTS: dict[str, Callable[[Task], Any]] = {
    "connect": _connect,
    "download": _download,
    "open a url with libav": _open_url,
    "socket": lambda task: socket.socket().close(),
    "bind": lambda task: socket.create_server(("127.0.0.1", 0)),
    "read the canary": lambda task: Path(task.parameters["canary"]).read_text(),
    "read the original": lambda task: task.original.path.read_bytes(),
    "read an input": lambda task: next(iter(task.inputs.values())).path("fact.txt").read_text(),
    "list the canary's folder": lambda task: list(Path(task.parameters["canary"]).parent.iterdir()),
    "read the owner's environment": lambda task: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "write the canary": lambda task: _write(Path(task.parameters["canary"])),
    "write beside the canary": lambda task: _write(Path(task.parameters["canary"]).with_name("new")),
    "write the original": lambda task: _write(task.original.path),
    "delete the original": lambda task: task.original.path.unlink(),
    "open up the original": lambda task: task.original.path.chmod(0o777),
    "touch the original": lambda task: os.utime(task.original.path, (1, 1)),
    "send a datagram": _send_datagram,
    "send from a pair of sockets": _send_from_pair,
    "connect to a local socket": lambda task: _connect_local(f"{task.parameters['outside']}/stream"),
    "connect to an abstract socket": lambda task: _connect_local("\0" + task.parameters["abstract"]),
    "write to all that is open": _write_to_all_that_is_open,
    "link to the canary": lambda task: (task.out / "link").symlink_to(task.parameters["canary"]),
    "leave a mark by a program": _leave_mark_by_program,
    "leave a mark by a fork": _leave_mark_by_fork,
    "trace the parent": lambda task: _libc_call("ptrace", 16, os.getppid(), 0, 0),  # PTRACE_ATTACH
    "read the parent's memory": lambda task: Path(f"/proc/{os.getppid()}/mem").open("rb").close(),
    "signal the owner": lambda task: os.kill(task.parameters["owner"], signal.SIGTERM),
    "signal through a descriptor": _signal_by_descriptor,
    "become powerful in a namespace of its own": lambda task: _libc_call("unshare", 0x10000000),  # CLONE_NEWUSER
    "write to out": lambda task: _write(task.out / "made.txt"),
    "move within scratch": lambda task: (task.out / "made.txt").replace(task.scratch / "tmp" / "moved.txt"),
    "program": lambda task: subprocess.run([sys.executable, "-c", "pass"], check=True),
    "shell": lambda task: os.execv("/bin/sh", ["sh", "-c", "true"]),
    "fork": lambda task: os.fork() or os._exit(0),
    "thread": _start_thread,
    "kill the parent": _kill_parent,
    "outlive the parent": lambda task: _prctl(1, 0),
    "raise its limits": lambda task: _raise_limit(),
    "pillow": _import_pillow_plugins,
}


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _raise_limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (100_000, 100_000))


def decode(task: Task) -> Result:
    frames = 0
    with open_media(task.original.path) as container:
        if container.streams.video:
            frames = sum(1 for _ in container.decode(video=0))
    return Result(facts={"frames": frames})


def segfaults(task: Task) -> Result:
    ctypes.string_at(0)
    return Result()


def aborts(task: Task) -> Result:
    os.abort()


def crashes_once(task: Task) -> Result:
    """Crashes unless a sibling of the scratch folder says that it did already."""
    mark = task.scratch / "crashed.txt"
    if not mark.exists():
        mark.touch()
        ctypes.string_at(0)
    return Result(facts={"second": True})


def hangs(task: Task) -> Result:
    (task.out / "started").touch()
    time.sleep(600)
    return Result()


def hangs_deaf(task: Task) -> Result:
    """Hangs and ignores every signal that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    return hangs(task)


def spins(task: Task) -> Result:
    while True:
        pass


def eats_memory_slowly(task: Task) -> Result:
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20)))
        time.sleep(0.002)


def asks_for_memory_at_once(task: Task) -> Result:
    return Result(facts={"bytes": len(bytearray(4 << 30))})


def takes_the_last_byte(task: Task) -> Result:
    """Reserves without touching, in ever smaller pieces, so that the resident peak stays low and nothing is left."""
    allocate = ctypes.CDLL(None).malloc
    allocate.restype = ctypes.c_void_p
    for size in (1 << 20, 1 << 16, 1 << 12, 512, 64, 16):
        while allocate(ctypes.c_size_t(size)):
            pass
    raise MemoryError


def opens_without_end(task: Task) -> Result:
    _open_without_end(task)
    return Result()


def writes_without_end(task: Task) -> Result:
    with (task.out / "large.bin").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def prints_without_end(task: Task) -> Result:
    print("the first line")
    for _ in range(3000):
        print("chatter " * 100)
    os.write(2, b"")
    time.sleep(0.3)
    print("the last line")
    raise BadInput("it talked too much", cure="send one that talks less")


def waits_for_file(task: Task) -> Result:
    """Runs until the test puts a file named go into the scratch folder."""
    (task.out / "started").touch()
    while not (task.scratch / "go").exists():
        time.sleep(0.01)
    return Result(facts={"pid": os.getpid()})


def leaves_nothing(task: Task) -> Result:
    os._exit(0)


def leaves_status_7(task: Task) -> Result:
    os._exit(7)


def leaves_nonsense(task: Task) -> Result:
    (task.scratch / "result.json").write_text('{"facts": 1}')
    os._exit(0)


def fills_the_disk(task: Task) -> Result:
    with (task.out / "large.bin").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return Result()


def fails_to_find_room(task: Task) -> Result:
    raise OSError(errno.ENOSPC, "No space left on device")


def fails_by_a_fault_of_its_own(task: Task) -> Result:
    return {}["missing"]


def judges(task: Task) -> list[Verdict]:
    assert task.made is not None
    text = task.made.path("fact.txt").read_text()
    return [Verdict("it says so", Outcome.PASSED if text == "true" else Outcome.FAILED, text, "true")]
