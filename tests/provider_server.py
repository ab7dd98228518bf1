"""A provider of models that misbehaves on order: a real HTTP server in a process of its own, on loopback.

Belongs here: HTTP, limits, capacity, behaviours, what was seen. Does not belong here: what its answers say
(provider_content).

It speaks the interface of OpenAI below `/v1`, and as much of AWS as resources/providers/aws uses (`/model/...` of
Bedrock, `X-Amz-Target` of Textract, Rekognition and Transcribe, buckets at `/<bucket>/<key>`). Beside these:

    POST /control   settings, see `Settings`; those that are not named stay as they are
    GET  /seen      what came: calls, answers, refusals, tokens, by second and by operation
    POST /reset     settings, counts, buckets and what it kept as at the start

A behaviour is a name, with a number where it takes one: `429` and `503` (no word on when to come back), `429:2` (come
back in 2 s), any other status from 400 (`500`, `401`), `reset`, `half` (of the body), `slow:3` (seconds before the
answer), `drip` (a byte ten times a second), `huge` (64 MiB), `empty_body`, `not_json`, and those of the content:
`empty`, `truncated`, `wrong_language`, `schema`, `refusal`, `boilerplate`. It comes from the request's header
`X-Behaviour`, else from the next of `script`, else from `behaviour`, else by chance from `rates`.

Its limits are charged when a call arrives: one request, and prompt and output in tokens. How long an output is nobody
knows beforehand; it is drawn by `seed` and never above what the call allows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.provider_content import Call, Content, aws_error, openai_error, read_call

MOST_HEAD_BYTES = 64 << 10
MOST_BODY_BYTES = 64 << 20
PARENT_LOOK_S = 0.25
LONGEST_LIFE_S = 3600.0
MOST_SENT = 3
HUGE_BYTES = 64 << 20


@dataclass(slots=True)
class Settings:
    """What `/control` sets.

    `latency_s` is how long a call takes, a number or the two ends of what is drawn; `token_s` is added for each token
    of output. `capacity` is how many calls it works on at once; one more is refused. Limits are a minute's, None for
    none; a burst that is not stated is what a second brings. `hints` says whether refusals tell when to come back.
    `key` is the one that is accepted (for AWS the access key's id), `models` those there are; None for any. `contents`
    are texts by the name of their schema, `transcripts` by the sha256 of their sound. `job_looks` is after how many
    looks a job of AWS is over, `aws_code` the code of its errors in place of the status's own.
    """

    seed: int = 0
    latency_s: Any = 0.0
    token_s: float = 0.0
    capacity: int | None = None
    requests_a_minute: float | None = None
    request_burst: float | None = None
    tokens_a_minute: float | None = None
    token_burst: float | None = None
    hints: bool = True
    key: str | None = None
    models: list[str] | None = None
    behaviour: str = ""
    script: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    contents: dict[str, Any] = field(default_factory=dict)
    transcripts: dict[str, Any] = field(default_factory=dict)
    job_looks: int = 2
    aws_code: str = ""


class Bucket:
    """A limit a minute with a burst, which may change while it is used."""

    def __init__(self) -> None:
        self.level: float | None = None
        self.filled_at = 0.0

    def missing_s(self, a_minute: float | None, burst: float | None, wanted: float) -> float:
        """Seconds until `wanted` is there; 0 where it is. What is more than a burst never is: a minute."""
        if a_minute is None:
            self.level = None
            return 0.0
        most = burst if burst is not None else max(1.0, a_minute / 60)
        now = time.monotonic()
        level = most if self.level is None else self.level + (now - self.filled_at) * a_minute / 60
        self.level, self.filled_at = min(most, level), now
        if wanted > most:
            return 60.0
        return max(0.0, (wanted - self.level) * 60 / a_minute)

    def take(self, amount: float) -> None:
        if self.level is not None:
            self.level -= amount


@dataclass(slots=True)
class Seen:
    """What came, since the start or the last reset."""

    calls: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    cut: int = 0  # ended by the caller
    tokens: int = 0
    at_once: int = 0
    most_at_once: int = 0
    keys: set[str] = field(default_factory=set)
    by_operation: Counter[str] = field(default_factory=Counter)
    by_second: dict[int, Counter[str]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)  # the last call, as it was read
    sent: list[str] = field(default_factory=list)  # the last bodies of answers

    def count(self, what: str, amount: int = 1) -> None:
        self.by_second.setdefault(int(time.time()), Counter())[what] += amount
        setattr(self, what, getattr(self, what) + amount)

    def to_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "keys"}
        return {**values, "idempotency_keys": len(self.keys)}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response before it is written. `cut_at` bytes of the body are sent, then the connection ends."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    drips: bool = False


class Server:
    """One server; everything happens in one event loop."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.settings = Settings()
        self.requests, self.tokens = Bucket(), Bucket()
        self.seen = Seen()
        self.content = Content()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection, one after the other, until either side ends it."""
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False where the connection is to end after it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return False
        method, target, _ = head[0].split(" ", 2)
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        path = target.partition("?")[0]
        if path in ("/control", "/seen", "/reset"):
            reply: Reply | None = self._steer(path, body)
        else:
            reply = await self._call(read_call(method, path, headers, body), reader)
        if reply is None:
            writer.transport.abort()  # a reset, not an end
            return False
        await _write(writer, reply)
        return reply.cut_at is None and headers.get("connection", "").lower() != "close"

    def _steer(self, path: str, body: bytes) -> Reply:
        if path == "/reset":
            self.reset()
        elif path == "/control":
            for name, value in json.loads(body).items():
                if name not in Settings.__dataclass_fields__:
                    return Reply(400, json.dumps({"error": f"no setting {name}"}).encode())
                setattr(self.settings, name, value)
        return Reply(200, json.dumps(self.seen.to_json()).encode())

    async def _call(self, call: Call, reader: asyncio.StreamReader) -> Reply | None:
        """One call of a model. None for a connection that is to be reset."""
        seen, settings = self.seen, self.settings
        if not call.counts:  # keeping files and asking how a job does is no call of a model
            return Reply(*self.content.answer(call, "", settings, 0))
        seen.count("calls")
        seen.by_operation[call.operation] += 1
        seen.keys.add(call.key)
        seen.last = {"operation": call.operation, "headers": dict(call.headers), "asked": call.asked}
        refused = self._admit(call)
        if refused is not None:
            return refused
        chance = random.Random(f"{settings.seed}:{call.key}")
        tokens_out = call.draw(chance)
        refused = self._charge(call, call.tokens_in + tokens_out)
        if refused is not None:
            return refused
        seen.at_once += 1
        seen.most_at_once = max(seen.most_at_once, seen.at_once)
        try:
            return await self._work(call, chance, tokens_out, reader)
        finally:
            seen.at_once -= 1

    def _admit(self, call: Call) -> Reply | None:
        """None where key and model are accepted."""
        settings = self.settings
        if settings.key is not None and call.credential != settings.key:
            self.seen.count("failed")
            return self._error(call, 401, "the key is not valid")
        if settings.models is not None and call.model not in settings.models:
            self.seen.count("failed")
            return self._error(call, 404, f"the model {call.model} does not exist")
        return None

    def _charge(self, call: Call, tokens: int) -> Reply | None:
        """Take a call's request and tokens from the limits, or refuse it."""
        settings, seen = self.settings, self.seen
        if settings.capacity is not None and seen.at_once >= settings.capacity:
            return self._refusal(call, f"{seen.at_once} calls are under way", 1.0)
        wait_s = max(
            self.requests.missing_s(settings.requests_a_minute, settings.request_burst, 1),
            self.tokens.missing_s(settings.tokens_a_minute, settings.token_burst, tokens),
        )
        if wait_s > 0:
            return self._refusal(call, "a limit a minute is reached", wait_s)
        self.requests.take(1)
        self.tokens.take(tokens)
        seen.count("tokens", tokens)
        return None

    def _refusal(self, call: Call, why: str, wait_s: float) -> Reply:
        self.seen.count("refused")
        hint = {"Retry-After": f"{wait_s:.3f}"} if self.settings.hints else {}
        return self._error(call, 429, why, hint)

    def _error(self, call: Call, status: int, why: str, headers: Mapping[str, str] | None = None) -> Reply:
        if call.is_aws:
            status, body, own = aws_error(call, status, why, self.settings.aws_code)
        else:
            status, body, own = openai_error(call, status, why)
        return Reply(status, body, {**own, **(headers or {})})

    async def _work(
        self, call: Call, chance: random.Random, tokens_out: int, reader: asyncio.StreamReader
    ) -> Reply | None:
        settings = self.settings
        name, _, argument = self._behaviour(call, chance).partition(":")
        latency = settings.latency_s
        took_s = (chance.uniform(*latency) if isinstance(latency, list) else latency) + tokens_out * settings.token_s
        if name == "slow":
            took_s, name = float(argument), ""
        if took_s > 0 and await _left_within(reader, took_s):
            self.seen.count("cut")
            return None
        if name == "reset":
            self.seen.count("failed")
            return None
        if name.isdecimal():
            self.seen.count("refused" if name in ("429", "503") else "failed")
            return self._error(call, int(name), "so it was ordered", {"Retry-After": argument} if argument else {})
        status, body, headers = self.content.answer(call, name, settings, tokens_out)
        self.seen.count("answered")
        self.seen.sent = [*self.seen.sent, body.decode()][-MOST_SENT:]
        if name == "empty_body":
            return Reply(200, b"", headers)
        if name == "not_json":
            return Reply(200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})
        if name == "huge":
            return Reply(200, b" " * HUGE_BYTES, headers)
        return Reply(status, body, headers, cut_at=len(body) // 2 if name == "half" else None, drips=name == "drip")

    def _behaviour(self, call: Call, chance: random.Random) -> str:
        """What this call is to get, "" for an answer."""
        settings = self.settings
        if "x-behaviour" in call.headers:
            return call.headers["x-behaviour"]
        if settings.script:
            return settings.script.pop(0)
        if settings.behaviour:
            return settings.behaviour
        drawn = chance.random()
        for name, share in settings.rates.items():
            if drawn < share:
                return name
            drawn -= share
        return ""


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """A request's body, of a stated length or in chunks."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length", "0"))
        if length > MOST_BODY_BYTES:
            raise ValueError("too large a request")
        return await reader.readexactly(length)
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if len(body) > MOST_BODY_BYTES:
            raise ValueError("too large a request")
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return bytes(body)


async def _left_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Wait, and say whether the caller went away meanwhile."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> None:
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Other"
    headers = {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(reply.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"HTTP/1.1 {reply.status} {phrase}\r\n{head}\r\n".encode("latin-1")
    if reply.drips:
        writer.write(start)
        for byte in reply.body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)
        return
    writer.write(start + reply.body[: reply.cut_at])
    await writer.drain()


async def _serve(port: int, parent: int) -> None:
    """Serve until the parent is gone or the longest life is over."""
    server = Server()
    listening = await asyncio.start_server(server.connection, "127.0.0.1", port, limit=MOST_HEAD_BYTES, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    until = time.monotonic() + LONGEST_LIFE_S
    while os.getppid() == parent and time.monotonic() < until:  # noqa: ASYNC110  nobody tells of a parent's end
        await asyncio.sleep(PARENT_LOOK_S)


class ProviderServer:
    """The server as a test holds it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self.address = f"http://127.0.0.1:{port}"
        self.url = f"{self.address}/v1"

    def control(self, **settings: Any) -> None:
        """Change settings, see `Settings`."""
        unknown = set(settings) - set(Settings.__dataclass_fields__)
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        self._post("/control", settings)

    def reset(self) -> None:
        """All as at the start."""
        self._post("/reset", {})

    def seen(self) -> dict[str, Any]:
        """What came so far."""
        with urllib.request.urlopen(f"{self.address}/seen", timeout=10) as response:
            return json.load(response)

    def _post(self, path: str, value: Mapping[str, Any]) -> None:
        request = urllib.request.Request(f"{self.address}{path}", json.dumps(value).encode(), method="POST")
        with contextlib.closing(urllib.request.urlopen(request, timeout=10)):
            pass


@contextmanager
def provider_server() -> Iterator[ProviderServer]:
    """A server of one's own, gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.provider_server", "--parent", str(os.getpid())],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield ProviderServer(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main() -> None:
    """Serve; prints the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="the process with which it ends")
    told = parser.parse_args()
    asyncio.run(_serve(told.port, told.parent))


if __name__ == "__main__":
    main()
