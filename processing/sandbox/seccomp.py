"""System calls: what no decoder, encoder or parser needs is refused (seccomp(2), a filter in classic BPF).

Belongs here: the list of refused calls by number for the two architectures, and the filter made of it. Does not
belong here: what landlock and the limits do already.

A list of refusals rather than of permissions, so that a codec library that starts to use another harmless call does
not break; calls newer than the list are answered "not implemented", which C libraries know how to get round.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from processing.sandbox import libc

NAME = "seccomp"

# name: (number on x86_64, number in the generic table that aarch64 uses); None where there is no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # network
    "socket": (41, 198),
    "socketpair": (53, 199),  # one end of a pair of datagram sockets sends to any local socket that has a path
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendmmsg": (307, 269),
    # programs and processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # parts of the kernel with a history of holes, of no use to a decoder
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    # files past landlock: by handle, watching, devices
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "mknod": (133, None),
    "mknodat": (259, 33),
    # modes, owners, times and attributes, which landlock leaves open
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    # memory that no limit counts, and channels to neighbours
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # who and in which group it is; its permit
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
    "capset": (126, 91),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "flock": (73, 32),
}
# Refused or allowed by their arguments.
CLONE, CLONE3 = (56, 220), (435, 435)
KILL, TGKILL = (62, 129), (234, 131)
PRCTL, PRLIMIT64, SCHED_SETAFFINITY = (157, 167), (302, 261), (203, 122)
FCNTL = (72, 25)
_OWNERS = (8, 15)  # F_SETOWN, F_SETOWN_EX: whom the kernel sends any signal when a pipe has something to read
FIRST_UNKNOWN = 452  # Linux 6.6, fchmodat2: the first call that was not judged for the list above

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_FILTER_SPEC_ALLOW = 1 << 2  # without it kernels before 5.16 slow every branch of the decoder (SSBD)
_CLONE_THREAD = 0x00010000

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_ERRNO = 0x00050000
_REFUSE, _UNKNOWN_CALL = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16  # struct seccomp_data


def available() -> bool:
    """Whether this kernel filters system calls and the machine's numbers are known here."""
    if not libc.IS_LINUX or libc.MACHINE not in _COLUMN:
        return False
    try:
        libc.syscall(_SECCOMP[libc.MACHINE], _GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(_ERRNO)))
    except OSError:
        return False
    return True


def apply() -> None:
    """Install the filter on the calling thread and all it will start; for good. Needs no_new_privs. Raises OSError."""
    code = program(libc.MACHINE, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = _Program(len(code) // 8, ctypes.addressof(buffer))
    try:
        libc.syscall(_SECCOMP[libc.MACHINE], _SET_MODE_FILTER, _FILTER_SPEC_ALLOW, ctypes.byref(filter_))
    except OSError:
        libc.prctl(libc.PR_SET_SECCOMP, 2, ctypes.byref(filter_))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def program(machine: str, pid: int) -> bytes:
    """The filter for `machine` as BPF instructions of 8 bytes; `pid` may signal itself and nobody else."""
    column = _COLUMN[machine]
    rules = [
        _instruction(_LOAD, _ARCH_OFFSET),
        _instruction(_JUMP_EQUAL, _AUDIT_ARCH[machine], if_true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_OFFSET),
        _instruction(_JUMP_AT_LEAST, FIRST_UNKNOWN, if_false=1),  # the x32 numbers of x86_64 are above it too
        _instruction(_RETURN, _UNKNOWN_CALL),
        _instruction(_JUMP_EQUAL, CLONE3[column], if_false=1),
        _instruction(_RETURN, _UNKNOWN_CALL),  # its flags lie in memory a filter cannot read; libc falls back to clone
    ]
    rules += _decide(CLONE[column], 0, _JUMP_ANY_BIT, _CLONE_THREAD)
    rules += _decide(KILL[column], 0, _JUMP_EQUAL, pid)
    rules += _decide(TGKILL[column], 0, _JUMP_EQUAL, pid)
    rules += _decide(PRLIMIT64[column], 0, _JUMP_EQUAL, 0)
    rules += _decide(SCHED_SETAFFINITY[column], 0, _JUMP_EQUAL, 0)
    rules += _decide(PRCTL[column], 0, _JUMP_AT_LEAST, libc.PR_SET_PDEATHSIG + 1)
    rules += _refuse(FCNTL[column], 1, _OWNERS)
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            rules += [_instruction(_JUMP_EQUAL, number, if_false=1), _instruction(_RETURN, _REFUSE)]
    rules.append(_instruction(_RETURN, _ALLOW))
    return b"".join(rules)


def _decide(number: int, argument: int, test: int, value: int) -> list[bytes]:
    """Allow the call `number` if the low word of its argument passes `test` against `value`, refuse it otherwise."""
    return [
        _instruction(_JUMP_EQUAL, number, if_false=4),
        _instruction(_LOAD, _ARGUMENTS_OFFSET + 8 * argument),
        _instruction(test, value, if_false=1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _REFUSE),
    ]


def _refuse(number: int, argument: int, values: Sequence[int]) -> list[bytes]:
    """Refuse the call `number` if the low word of its argument is one of `values`, allow it otherwise."""
    count = len(values)
    return [
        _instruction(_JUMP_EQUAL, number, if_false=count + 3),
        _instruction(_LOAD, _ARGUMENTS_OFFSET + 8 * argument),
        *(_instruction(_JUMP_EQUAL, value, if_true=count - place) for place, value in enumerate(values)),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _REFUSE),
    ]


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
