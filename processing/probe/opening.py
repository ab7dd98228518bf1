"""The one door through which media is opened: limits first, libavformat second, a sentence for a person if it fails.

Belongs here: the whitelists, the bounds on streams, pixels and time, and the translation of FFmpeg's errors into the
failure taxonomy. Does not belong here: deciding what a file is (magic) or what is in it (media_info). Nothing else in
this room calls `av.open` for reading.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.audio.stream import AudioStream
from av.codec import CodecContext
from av.container import InputContainer
from av.video.stream import VideoStream

from processing.failures import BadInput, Transient
from processing.probe.magic import DEMUXERS, TEXT_DEMUXERS, Magic, sniff_path

MAX_STREAMS = 64  # a broadcast master has about 20; at 1,001 PyAV runs out of memory and looks merely unlucky
MAX_TILES = 512  # a 100-megapixel HEIC is about 400 tiles of 512 x 512, each of which libavformat calls a stream
MAX_PIXELS = 120_000_000  # the largest cameras make 102 million; 15,000 squared out of 200 kB is a bomb
OPEN_TIMEOUT_S = 20.0  # local files only: longer than this means a file that keeps the demuxer searching
READ_TIMEOUT_S = 20.0
READ_BLOCK_BYTES = 1 << 20

_GONE = {errno.ENOENT, errno.ESTALE}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM}
_OF_THE_DISK = _GONE | _NOT_ALLOWED | {errno.EIO}


@contextmanager
def open_media(
    path: Path, *, format_name: str | None = None, max_streams: int = MAX_STREAMS
) -> Iterator[InputContainer]:
    """Open a local media file for reading, locked down; to be used in a `with`.

    `format_name` is a demuxer name; without it the file's first bytes decide, never its name. Text files are opened by
    their demuxer's name alone. Every stream's decoder
    is set to one thread and refuses pictures above `MAX_PIXELS`. Raises `BadInput` for a file that cannot be opened
    as media and `Transient` for one that is gone or could not be read; errors of libav* raised inside the `with` are
    translated in the same way.
    """
    if format_name is None:
        format_name = require_media(path).format_name
    if format_name not in DEMUXERS and format_name not in TEXT_DEMUXERS:
        raise BadInput(f"the format {format_name} is not accepted", cure="convert it to MP4, Matroska, WAV or PNG")
    try:
        with av.open(
            str(path.absolute()),
            mode="r",
            format=format_name.partition(",")[0],
            options={
                "protocol_whitelist": "file",
                "format_whitelist": format_name if format_name in TEXT_DEMUXERS else ",".join(sorted(DEMUXERS)),
                "max_streams": str(max_streams),
                "max_pixels": str(MAX_PIXELS),
            },
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
            metadata_errors="replace",
        ) as container:
            _limit_decoders(container)
            yield container
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        raise reading_failure(error, path) from error


def decode_strictly(stream: VideoStream | AudioStream) -> None:
    """Let the decoder of a stream, not yet used, report damage instead of hiding it."""
    stream.codec_context.options = {**stream.codec_context.options, "err_detect": "crccheck+bitstream+buffer+explode"}


def demuxed(container: InputContainer, streams: Any) -> Iterator[Any]:
    """Packets of `streams` (one, or a list) to the end, flush packets included, as PyAV reads them.

    MPEG and FLV may begin another stream while they are read. PyAV 18.1 does not know it, and stumbles over it at the
    end, when it has flushed all that it knows.
    """
    try:
        yield from container.demux(streams)
    except IndexError:
        return


def require_media(path: Path) -> Magic:
    """What the file's first bytes say it is. Raises `BadInput` for what is not media, `Transient` where it is gone."""
    try:
        magic = sniff_path(path)
    except OSError as error:
        raise reading_failure(error, path) from error
    if magic.format_name is None:
        raise BadInput(magic.refusal, cure="send a video, audio or picture file")
    return magic


def _limit_decoders(container: InputContainer) -> None:
    for stream in container.streams:
        context: CodecContext | None = getattr(stream, "codec_context", None)
        if context is None:  # whatever its type stub says, PyAV leaves it empty where it knows no decoder
            continue
        context.thread_count = 1
        if stream.type == "video":
            context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}


def _can_be_read(path: Path) -> bool:
    """Whether the disk gives every byte of a file. A demuxer says "I/O error" also of a file that is cut off."""
    try:
        with path.open("rb") as file:
            while file.read(READ_BLOCK_BYTES):
                pass
    except OSError:
        return False
    return True


def reading_failure(error: Exception, path: Path | None = None) -> BadInput | Transient:
    """What an error while opening or reading means, as a failure with a sentence for a person.

    With `path`, an error that would be the disk's or its permissions' is only believed where the disk really does not
    give the file: what is in a file must not decide that it is tried again.
    """
    number = getattr(error, "errno", None)
    detail = f"{type(error).__name__}: {error}"
    if path is not None and number in _OF_THE_DISK and _can_be_read(path):
        number = None
    if number in _GONE:
        return Transient("the file was gone when it was to be read", cure="put it back, then retry", detail=detail)
    if number in _NOT_ALLOWED:
        return BadInput("the file may not be read by this user", cure="allow reading it, then retry", detail=detail)
    if number == errno.EIO:
        return Transient("the disk failed while the file was read", cure="check the disk, then retry", detail=detail)
    if isinstance(error, av.error.ExitError | TimeoutError):
        return BadInput(
            f"the file kept its reader searching for more than {OPEN_TIMEOUT_S:.0f} s",
            cure="repair or convert it",
            detail=detail,
        )
    if isinstance(error, MemoryError):
        return BadInput(
            "the file asks for more memory than a media file may",
            cure="check that it is what it claims to be",
            detail=detail,
        )
    return BadInput(
        "the file is damaged: its structure could not be read", cure="send it again from the original", detail=detail
    )
