"""Uploads that go on where they stopped: the tus protocol 1.0.0 (core, creation, termination, expiration).

Belongs here: the protocol, files that are not whole yet, handing a whole one to the inbox. Does not belong here: taking
it in, which the watch on the inbox does as with any other file.

An upload lies in the home until its last byte is there; then it is synced and moved into the inbox in one step, under
its own name or, where that is taken, under one with a number. Whatever dies meanwhile, the inbox has all of it or
nothing. What arrived of a request that broke off is kept.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
CHUNK_TYPE = "application/offset+octet-stream"
KEPT_S = 7 * 86_400.0  # what nobody goes on with for so long is given up
BLOCK = 1 << 20
KEPT_FREE = 64 << 20  # bytes of the disk
LONGEST_NAME = 200  # bytes: file systems take 255, and a number may be added
_ID = re.compile(r"[0-9a-f]{32}")


class Refused(Exception):
    """A request that cannot be carried out: the status, and one sentence why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: its files below `folder`, how long it is to be, what it is called."""

    folder: Path
    id: str
    length: int
    name: str
    is_done: bool = False

    @property
    def told(self) -> Path:
        """What is known of it."""
        return self.folder / f"{self.id}.json"

    @property
    def part(self) -> Path:
        """The bytes so far."""
        return self.folder / f"{self.id}.part"

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self.length if self.is_done else self.part.stat().st_size

    def note(self, *, is_done: bool = False) -> None:
        """Write down what is known of it."""
        told = {"length": self.length, "name": self.name, "done": is_done}
        beside = self.told.with_suffix(".new")
        beside.write_text(json.dumps(told), encoding="utf-8")
        beside.replace(self.told)


class Uploads:
    """All uploads that are not whole yet, in `folder`; whole ones go to `inbox`."""

    def __init__(self, folder: Path, inbox: Path) -> None:
        self._folder = folder
        self._inbox = inbox

    def begin(self, length: int, name: str) -> Upload:
        """A new one, of no bytes so far. Raises Refused where there is no room."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        free = shutil.disk_usage(self._folder).free
        if length > free - KEPT_FREE:
            raise Refused(507, f"{length} bytes are more than the disk has room for ({free} are free)")
        upload = Upload(self._folder, secrets.token_hex(16), length, safe_name(name))
        upload.part.touch()
        upload.note()
        return upload

    def find(self, id_: str) -> Upload:
        """The one of that id. Raises Refused."""
        try:
            if not _ID.fullmatch(id_):
                raise ValueError(id_)
            told = json.loads((self._folder / f"{id_}.json").read_bytes())
        except (OSError, ValueError):
            raise Refused(404, "there is no such upload; it is finished, was given up, or never was") from None
        return Upload(self._folder, id_, int(told["length"]), str(told["name"]), bool(told["done"]))

    def end(self, upload: Upload) -> None:
        """Give one up."""
        upload.told.unlink(missing_ok=True)
        upload.part.unlink(missing_ok=True)

    def hand_over(self, upload: Upload) -> None:
        """Move a whole one into the inbox. That it is done stays known: a client that missed the answer asks again."""
        if upload.is_done:
            return
        self._inbox.mkdir(parents=True, exist_ok=True)
        whole = upload.part
        if self._inbox.stat().st_dev != self._folder.stat().st_dev:  # another disk: first beside its place, unseen
            beside = self._inbox / f".{upload.id}.part"
            shutil.copyfile(whole, beside)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            whole = beside
        _link(whole, self._inbox, upload.name)
        upload.note(is_done=True)
        whole.unlink()
        upload.part.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for told in self._folder.glob("*.json"):
            part = told.with_suffix(".part")
            last = max(each.stat().st_mtime for each in (part, told) if each.exists())
            if time.time() - last > KEPT_S:
                part.unlink(missing_ok=True)
                told.unlink(missing_ok=True)


def _link(whole: Path, folder: Path, name: str) -> None:
    """Let a file lie in a folder under the first of its names that is free, or that it has there already.

    A link and no rename, which would take another's place; and whoever was killed after it finds that it was made.
    """
    stem, dot, ending = name.rpartition(".")
    for number in range(1, 10_000):
        wanted = name if number == 1 else f"{stem} ({number}){dot}{ending}" if stem else f"{name} ({number})"
        try:
            os.link(whole, folder / wanted)
        except FileExistsError:
            if not whole.samefile(folder / wanted):
                continue
        return
    raise Refused(409, f"the inbox has ten thousand files called {name[:60]}; rename this one")


def safe_name(name: str) -> str:
    """A name that is one of a file in a folder: no path, nothing hidden, nothing that does not show."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in bare if letter.isprintable()).strip().lstrip(".").strip()
    stem, dot, ending = shown.rpartition(".")
    while len(shown.encode()) > LONGEST_NAME and stem:
        stem = stem[:-1]
        shown = f"{stem}{dot}{ending}"
    return shown if shown and len(shown.encode()) <= LONGEST_NAME else "upload"


def metadata(header: str) -> dict[str, str]:
    """What the client says of a file: `name base64,name base64`. What is not of that form is left out."""
    found: dict[str, str] = {}
    for pair in header.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found


routes = APIRouter(prefix="/uploads", include_in_schema=False)  # no part of the described API: clients of tus know them


def _uploads(request: Request) -> Uploads:
    found: Uploads = request.app.state.uploads
    return found


All = Annotated[Uploads, Depends(_uploads)]


def _answer(status: int, **headers: str) -> Response:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, "Cache-Control": "no-store", **told})


def _require_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(412, f"uploads speak version {VERSION} of tus; say so in Tus-Resumable")


@routes.options("")
async def offered() -> Response:
    """Which protocol is spoken."""
    return _answer(204, Tus_Version=VERSION, Tus_Extension=EXTENSIONS)


@routes.post("")
async def begin(uploads: All, request: Request) -> Response:
    """A new upload, of an announced length."""
    _require_version(request)
    length = _number(request, "upload-length")
    named = metadata(request.headers.get("upload-metadata", ""))
    upload = uploads.begin(length, named.get("filename") or named.get("name") or "")
    if length == 0:
        uploads.hand_over(upload)
    return _answer(201, Location=f"/uploads/{upload.id}", Upload_Offset="0")


@routes.head("/{id_}")
async def how_far(uploads: All, id_: str, request: Request) -> Response:
    """How many bytes are there."""
    _require_version(request)
    upload = uploads.find(id_)
    if upload.offset == upload.length:  # whoever was at it was killed before he could hand it over
        await asyncio.to_thread(uploads.hand_over, upload)
        upload = uploads.find(id_)
    return _answer(200, Upload_Offset=str(upload.offset), Upload_Length=str(upload.length))


@routes.patch("/{id_}")
async def go_on(uploads: All, id_: str, request: Request) -> Response:
    """More bytes, from where it stopped; with the last of them it goes to the inbox."""
    _require_version(request)
    if request.headers.get("content-type") != CHUNK_TYPE:
        raise Refused(415, f"bytes of an upload come as {CHUNK_TYPE}")
    upload = uploads.find(id_)
    if upload.is_done:
        return _answer(204, Upload_Offset=str(upload.length))
    offset = await _appended(upload, _number(request, "upload-offset"), request)
    if offset == upload.length:
        await asyncio.to_thread(uploads.hand_over, upload)
    return _answer(204, Upload_Offset=str(offset))


@routes.delete("/{id_}")
async def give_up(uploads: All, id_: str, request: Request) -> Response:
    """Nobody goes on with it."""
    _require_version(request)
    uploads.end(uploads.find(id_))
    return _answer(204)


async def _appended(upload: Upload, offset: int, request: Request) -> int:
    """Append what a request brings from `offset` on; how much is there now. Raises Refused."""
    with upload.part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(423, "another request is at this upload; wait for it") from None
        there = os.fstat(file.fileno()).st_size
        if offset != there:
            raise Refused(409, f"{there} bytes are there, and the request goes on from {offset}; ask how far it is")
        held = bytearray()
        try:
            async for block in request.stream():
                there += len(block)
                if there > upload.length:
                    raise Refused(413, f"more bytes came than the {upload.length} that were announced")
                held += block
                if len(held) >= BLOCK:
                    await asyncio.to_thread(file.write, bytes(held))
                    held.clear()
        except ClientDisconnect:
            pass  # what arrived is kept; the client asks how far it is and goes on from there
        await asyncio.to_thread(_synced, file, bytes(held), there == upload.length)
        return os.fstat(file.fileno()).st_size


def _synced(file: BinaryIO, rest: bytes, is_whole: bool) -> None:
    file.write(rest)
    file.flush()
    if is_whole:
        os.fsync(file.fileno())


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Refused(400, f"{header} must be a whole number of bytes")
    return int(value)
