"""The network of one question: every request of it, bounded in time and bytes, and ended from outside when asked.

Belongs here: sending, reading, bounds, what a broken connection means. Does not belong here: what is said over it
(openai_http, aws): their SDKs are given an `Exchange` in place of a network of their own.

A connection carries one request (docs/decisions/calls-outside.md): only a socket that belongs to one call can be shut
down when that call has to end. While a connection is being made nothing can end it: the looking up of a name by the
system, and `CONNECT_S` at the most. Proxies of the environment are not used.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from resources.providers.port import MOST_ANSWER_BYTES, Cancelled, Failed

CONNECT_S = 5.0  # a connection over the longest cable takes half a second, with two lost packets three more
LOOK_S = 0.1  # how often the watch looks: how late a call may end
MOST_ERROR_BYTES = 64 << 10  # of an error that is read: a sentence and its envelope
MOST_RETRY_AFTER_S = 3600.0  # a longer word than that is a mistake, or is asked about again after an hour


class Network:
    """What the exchanges of a provider share: certificates and the making of connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: httpx2.HTTPTransport | None = None

    @property
    def transport(self) -> httpx2.HTTPTransport:
        """Made when first needed: reading the certificates takes a tenth of a second."""
        with self._lock:
            if self._transport is None:
                limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
                self._transport = httpx2.HTTPTransport(limits=limits, retries=0)
            return self._transport

    def close(self) -> None:
        with self._lock:
            if self._transport is not None:
                self._transport.close()
                self._transport = None


class Exchange(httpx2.BaseTransport):
    """A transport for the requests of one question to `who`. Raises Failed or Cancelled by itself, through the SDK.

    A body is read as it came: nobody asks for a compressed one, and one that is compressed all the same is refused, for
    it may be a bomb.
    """

    def __init__(self, network: Network, who: str, deadline_s: float, cancelled: threading.Event) -> None:
        self.who = who
        self.cancelled = cancelled
        self.deadline_s = deadline_s
        self.deadline = time.monotonic() + deadline_s
        self._network = network
        self._socket: socket.socket | None = None

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def require_going(self) -> None:
        """Raises Cancelled or Failed where the question is over."""
        if self.cancelled.is_set():
            raise Cancelled(f"the call of {self.who} was cancelled")
        if self.left_s <= 0:
            raise self.late()

    def late(self) -> Failed:
        """The failure of a call that was not answered in time."""
        return Failed(f"{self.who} did not answer within {self.deadline_s:g} s")

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.require_going()
        request.headers["Accept-Encoding"] = "identity"
        left_s = self.left_s
        request.extensions = {
            **request.extensions,
            "timeout": {"connect": min(CONNECT_S, left_s), "read": left_s, "write": left_s, "pool": left_s},
            "trace": self._noticed,
        }
        try:
            with _WATCH.watching(self):
                response = self._network.transport.handle_request(request)
                try:
                    body = self._read(response)
                finally:
                    response.close()
        except (httpx2.TransportError, OSError, ValueError) as error:  # ValueError: a socket that was shut while read
            self.require_going()
            if isinstance(error, httpx2.ReadTimeout | httpx2.WriteTimeout | httpx2.PoolTimeout):
                raise self.late() from error
            if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                where = request.url.host if request.url.port is None else f"{request.url.host}:{request.url.port}"
                raise Failed(
                    f"{self.who} cannot be reached at {where}: {_reason(error)}",
                    cure="see that it runs there, or mend the address in its release",
                ) from error
            raise Failed(f"the connection to {self.who} broke: {_reason(error)}") from error
        finally:
            self._socket = None
        headers = [item for item in response.headers.raw if item[0].lower() != b"transfer-encoding"]
        return httpx2.Response(response.status_code, headers=headers, content=body, request=request)

    def end(self) -> None:
        """Wake whoever sends or reads, from another thread."""
        ended = self._socket
        if ended is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself
                # Not the method of a TLS socket, which would take its state away under the thread that reads.
                socket.socket.shutdown(ended, socket.SHUT_RDWR)

    def _noticed(self, event: str, info: dict[str, Any]) -> None:
        """Keep the socket of a connection that was made."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _read(self, response: httpx2.Response) -> bytes:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise Failed(f"{self.who} compressed its answer ({encoding[:20]}), which nobody asked for")
        most = MOST_ERROR_BYTES if response.status_code >= httpx2.codes.BAD_REQUEST else MOST_ANSWER_BYTES
        body = bytearray()
        for block in response.iter_raw():
            body += block
            if len(body) > most:
                raise Failed(f"{self.who} answered with more than {most >> 10} KiB")
            self.require_going()
        return bytes(body)


class _Watch:
    """One thread that ends the exchanges whose time is over or that were cancelled; it is there while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[Exchange] = set()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, exchange: Exchange) -> Iterator[None]:
        with self._lock:
            self._watched.add(exchange)
            if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
                self._thread = threading.Thread(target=self._look, name="exchanges", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watched.discard(exchange)

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_S)
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                over = [each for each in self._watched if each.cancelled.is_set() or each.left_s <= 0]
            for exchange in over:
                exchange.end()


_WATCH = _Watch()


def retry_after_s(headers: Any) -> float | None:
    """What a header says on when to come back, in seconds from now, at most an hour (RFC 9110, section 10.2.3)."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if not math.isnan(seconds):
            return min(max(seconds, 0.0), MOST_RETRY_AFTER_S)
    return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
