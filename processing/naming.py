"""Any exception that ends a task, as one failure of the closed taxonomy with a sentence for a person.

Belongs here: what is known about an exception inside the child that met it. Does not belong here: deaths a child
cannot describe itself, such as signals (resources/compute/outcomes), or what is done about a failure.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator

from processing.failures import BadInput, ContractBroken, OutOfBudget, Transient, WorkFailure
from processing.protocol import Kind
from processing.sandbox.limits import Limits
from processing.work import Task

DETAIL_CHARACTERS = 8000
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def named(error: Exception, task: Task, kind: Kind, limits: Limits) -> WorkFailure:
    """The failure behind an exception, its traceback in the detail unless it brought its own."""
    failure = (
        _of_the_disk(error, limits)
        or (error if isinstance(error, WorkFailure) else None)
        or _of_memory(error, limits)
        or _of_the_source(error, task)
        or _of_the_media(error, kind)
        or ContractBroken(
            f"{task.operation} failed on this input: {type(error).__name__}: {_first_line(error)}",
            cure="this is a fault in sourcebound, not in the file: report it with the worker's log",
        )
    )
    failure.detail = failure.detail or "".join(traceback.format_exception(error))[-DETAIL_CHARACTERS:]
    return failure


def out_of_memory(limits: Limits) -> OutOfBudget:
    """The one sentence for a task that wanted more memory than it may have, however that was noticed."""
    return OutOfBudget(
        f"it needed more than {limits.memory_bytes >> 20} MB of memory",
        cure="raise memory_mb in the bounds of this derivative, or send a smaller picture",
    )


def file_too_large(limits: Limits) -> OutOfBudget:
    """The one sentence for a file that grew past what a task may write."""
    return OutOfBudget(
        f"a single output grew past {limits.file_bytes / 1e6:.0f} MB",
        cure="raise output_mb in the bounds of this derivative",
    )


def disk_full() -> Transient:
    """The one sentence for work that found no room on the disk."""
    return Transient(
        "the disk is full: no room for unfinished work",
        cure="free space; the work goes on by itself where sourcebound is up, else when it is processed again",
    )


def _of_the_disk(error: Exception, limits: Limits) -> WorkFailure | None:
    """A full disk is found below other failures too: who reads and writes in one go blames the file for it."""
    for number in _errnos(error):
        if number in DISK_FULL:
            return disk_full()
        if number == errno.EFBIG:
            return file_too_large(limits)
        if number == errno.EMFILE:
            return OutOfBudget("it opened more files at once than a task may", cure="report it with the worker's log")
    return None


def _of_memory(error: Exception, limits: Limits) -> WorkFailure | None:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return out_of_memory(limits)
    return None


def _of_the_source(error: Exception, task: Task) -> WorkFailure | None:
    """The original itself cannot be had."""
    if not isinstance(error, OSError) or task.source is None or error.filename != str(task.source.path):
        return None
    if isinstance(error, FileNotFoundError):
        return Transient("the file was gone when it was to be read", cure="put it back, then retry")
    if isinstance(error, PermissionError):
        return BadInput("the file may not be read by this user", cure="allow reading it, then retry")
    return None


def _of_the_media(error: Exception, kind: Kind) -> WorkFailure | None:
    """What libav* or Pillow throws: in an operation the source is to blame, in a contract what was made."""
    from av.error import FFmpegError

    unreadable = isinstance(error, FFmpegError | EOFError) or (isinstance(error, OSError) and error.errno is None)
    if not unreadable:
        return None
    what = _first_line(error)
    if kind is Kind.CONTRACT:
        return ContractBroken(f"what was made cannot be read back: {what}", cure="report it with the worker's log")
    return BadInput(f"the file could not be read as media: {what}", cure="send it again from the original")


def _errnos(error: BaseException) -> Iterator[int]:
    """The error numbers of an exception and of all it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        number = getattr(current, "errno", None)
        if isinstance(number, int):
            yield number
        current = current.__cause__ or current.__context__


def _first_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return next(iter(str(text).splitlines()), "") or "no reason given"
