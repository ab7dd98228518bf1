"""The few system calls Python does not offer, through ctypes.

Belongs here: calling them and turning -1 into OSError. Does not belong here: what a layer does with them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

MACHINE = platform.machine()
IS_LINUX = sys.platform.startswith("linux")

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


def syscall(number: int, *arguments: Any) -> int:
    """One system call by number. Raises OSError with the kernel's errno."""
    prepared = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *prepared))


def prctl(option: int, *arguments: Any) -> int:
    """Change one attribute of this process; absent arguments are 0. Raises OSError."""
    prepared = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in arguments]
    prepared += [ctypes.c_ulong(0)] * (4 - len(prepared))
    return _checked(_libc.prctl(ctypes.c_int(option), *prepared))


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` names. Raises OSError."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def _checked(returned: int) -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return returned
