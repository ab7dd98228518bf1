"""What a process may not do by itself: gain privileges, use root's powers, outlive its parent.

Belongs here: no_new_privs, dropping capabilities, dying with the parent. Does not belong here: files (landlock) and
system calls (seccomp).
"""

from __future__ import annotations

import ctypes
import os
import signal

from processing.sandbox import libc

NAME = "privileges"
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH = 2
_LAST_CAP_TRIED = 63  # capabilities(7): prctl answers EINVAL past the last one the kernel knows


def available() -> bool:
    """Whether the kernel is Linux on a machine whose numbers are known here."""
    return libc.IS_LINUX and libc.MACHINE in _CAPSET


def apply(parent: int, *, may_read_everything: bool) -> None:
    """Die with `parent` (a pid), never gain privileges, give up root's capabilities.

    `may_read_everything` keeps CAP_DAC_READ_SEARCH: a service run as root must read originals that belong to their
    uploaders, which is safe only where landlock then says which files those are. To be called after a new user
    namespace was entered, which would clear the signal of the parent's death. Raises OSError.
    """
    libc.prctl(libc.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the line above: nobody would ever end this process
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities(1 << _CAP_DAC_READ_SEARCH if may_read_everything else 0)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _drop_capabilities(kept: int) -> None:
    """Give up every capability but those of the bit mask `kept` that the process has."""
    if os.geteuid() != 0:
        kept = 0
    for capability in range(_LAST_CAP_TRIED + 1):
        try:
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last one, or not privileged: then there is no bounding set worth narrowing
    data = (_Data * 2)()
    data[0].effective = data[0].permitted = kept
    try:
        libc.syscall(_CAPSET[libc.MACHINE], ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data)
    except PermissionError:
        libc.syscall(_CAPSET[libc.MACHINE], ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), (_Data * 2)())
