"""An upload of 2 GB that is interrupted five times: whether it arrives whole, and is one source.

The connection is cut in the middle of a request, and twice the library itself is killed.
Run: `python -m benchmarks.uploads [BYTES]`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.results import Figure, record
from media_assets.declared import declared
from media_assets.plain import door_of
from operations.session import open_session
from resources.house import open_house
from resources.intake import register_files
from resources.settings import load_settings

LENGTH = 2_000_000_000
CUTS = 5
KILLED_AFTER = (2, 4)  # cuts after which the library is killed
BLOCK = 4 << 20
DEADLINE_S = 60
STILL_S = 0.5
TUS = {"Tus-Resumable": "1.0.0"}


def main() -> None:
    """Upload, interrupt, compare; fail where anything is lost or double."""
    length = int(sys.argv[1]) if len(sys.argv) > 1 else LENGTH
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        home, inbox = Path(temporary) / "home", Path(temporary) / "inbox"
        Path(temporary).chmod(0o755)
        port = _free_port()
        settings = load_settings(home=str(home), inbox=str(inbox), library_port=port)
        session = stack.enter_context(open_session(settings))
        environment = {**os.environ, **settings.to_environment()}
        server = _started(environment, port)
        began = time.monotonic()
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
            named = {**TUS, "Upload-Length": str(length), "Upload-Metadata": "filename ZmlsbS5tcDQ="}
            place = client.post("/uploads", headers=named).headers["location"]
            offset = 0
            for cut in range(1, CUTS + 1):
                _send(port, place, offset, length, until=length * cut // (CUTS + 1))
                if cut in KILLED_AFTER:
                    server.send_signal(signal.SIGKILL)
                    server.wait()
                    server = _started(environment, port)
                offset = _offset(client, place)
                print(f"cut {cut}: {offset:,} bytes are there")
            _send(port, place, offset, length, until=length)
        took_s = time.monotonic() - began
        server.terminate()
        server.wait()
        arrived = [path for path in inbox.iterdir() if not path.name.startswith(".")]
        with arrived[0].open("rb") as file:
            is_whole = hashlib.file_digest(file, "sha256").hexdigest() == _content_digest(length)
        house = stack.enter_context(contextlib.closing(open_house(settings, session.database_url)))
        sources = {each.source_key for each in register_files(house, arrived, door_of(declared()), actor="benchmark")}
        print(f"{length:,} bytes in {took_s:.0f} s with {CUTS} cuts: {'whole' if is_whole else 'NOT whole'}")
        print(f"{len(arrived)} file, {len(sources)} source")
    wrong = int(not is_whole) + abs(len(arrived) - 1) + abs(len(sources) - 1)
    if length == LENGTH:
        record({"upload_2_gb_interrupted_5_times_wrong": Figure(wrong, 0, "lower", "things")})
    if wrong:
        raise SystemExit("an upload did not arrive whole and once")


def _offset(client: httpx2.Client, place: str) -> int:
    """How far it is, once what was on its way when the connection was cut has been taken in."""
    before = -1
    while (offset := int(client.head(place, headers=TUS).headers["upload-offset"])) != before:
        before = offset
        time.sleep(STILL_S)
    return offset


def _block(at: int, length: int) -> bytes:
    """The bytes from a place on: the same whenever they are sent."""
    seed = (at // BLOCK).to_bytes(8, "big")
    whole = hashlib.shake_256(seed).digest(1 << 16) * (BLOCK >> 16)
    return whole[at % BLOCK : min(BLOCK, length - at + at % BLOCK)]


def _content_digest(length: int) -> str:
    digest = hashlib.sha256()
    for at in range(0, length, BLOCK):
        digest.update(_block(at, length))
    return digest.hexdigest()


def _send(port: int, place: str, offset: int, length: int, *, until: int) -> None:
    """Send from `offset` on and break off at `until`; with the last byte wait for the answer."""
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {length - offset}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as raw:
        raw.sendall(head.encode())
        at = offset
        while at < until:
            block = _block(at, length)[: until - at]
            raw.sendall(block)
            at += len(block)
        if until == length:
            answer = raw.recv(4096).split(b"\r\n")[0]
            assert b" 204 " in answer, answer


def _started(environment: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    server = subprocess.Popen([sys.executable, "-m", "operations.serve.program"], env=environment)
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return server
        time.sleep(0.05)
    raise SystemExit("the library did not start")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
