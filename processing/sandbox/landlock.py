"""Files: only what a task names can be read, only its scratch folder can be written (landlock(7), Linux 5.13).

Belongs here: the rule set. Does not belong here: which paths a task names (processing/protocol).

Landlock does not cover changing modes, owners, times and attributes, nor `stat`: the former are refused by seccomp,
the latter tells that a file exists and how long it is.
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from processing.sandbox import libc

NAME = "landlock"
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE  # any other right on a rule for a file is EINVAL

READ = _READ_FILE | _READ_DIR  # never execute: a task starts no program
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_NET_ALL = 0b11  # bind and connect of TCP, ABI 4
_SCOPE_ALL = 0b11  # abstract sockets and signals out of the sandbox, ABI 6

# What the interpreter, its lazily imported modules and shared libraries read; nothing here is anyone's data.
_SYSTEM_READS = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
    "/dev/urandom",
)
_DEVICE_WRITES = ("/dev/null",)


@functools.cache
def abi() -> int:
    """The version of landlock the kernel offers, 0 for none."""
    if not libc.IS_LINUX:
        return 0
    try:
        return libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def available() -> bool:
    """Whether the kernel has landlock and it was not switched off at boot."""
    return abi() > 0


@functools.cache
def interpreter_reads(extra: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Folders and files every task may read: Python's own, its packages, shared libraries, and `extra`."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [Path(sysconfig.get_path(name)) for name in names]
    room = Path(__file__).resolve().parents[1]
    found = [*folders, room, *extra, *map(Path, _SYSTEM_READS)]
    return tuple(dict.fromkeys(path.resolve() for path in found))


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def apply(read: Iterable[Path], write: Path, *, libraries: Sequence[Path] = ()) -> None:
    """Confine the calling process to reading `read` and the interpreter's files, and writing below `write`.

    A path of `read` that does not exist gives no rule. To be called after no_new_privs. Raises OSError.
    """
    handled = _RIGHTS_BY_ABI[max(version for version in _RIGHTS_BY_ABI if version <= abi())]
    attributes = _Ruleset(handled, _NET_ALL if abi() >= 4 else 0, _SCOPE_ALL if abi() >= 6 else 0)
    size = 24 if abi() >= 6 else 16 if abi() >= 4 else 8  # an older kernel refuses the longer structure
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path in dict.fromkeys([*interpreter_reads(tuple(libraries)), *read]):
            _allow(ruleset, path, READ & handled)
        for device in _DEVICE_WRITES:
            _allow(ruleset, Path(device), READ | _WRITE_FILE)
        _allow(ruleset, write, WRITE & handled)
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, parent)
        libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
