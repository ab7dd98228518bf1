"""A network and an IPC namespace of one's own: no interface is up, not even loopback, and no neighbour is in reach.

Belongs here: leaving the machine's namespaces. Does not belong here: anything done per task. The nursery enters these
once, while it is single-threaded, and every child is born inside: a network namespace costs the kernel milliseconds
to tear down, a fork into an existing one nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from processing.sandbox import libc

NAME = "namespaces"
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
CLONE_NEWIPC = 0x08000000


def available() -> bool:
    """Whether the kernel has network namespaces; containers and hardened systems may still refuse one."""
    return libc.IS_LINUX and Path("/proc/self/ns/net").exists()


def apply() -> None:
    """Enter new network and IPC namespaces, through a user namespace where the caller is not privileged.

    Must be called in a single-threaded process. Raises OSError where the system refuses both ways.
    """
    try:
        libc.unshare(CLONE_NEWNET | CLONE_NEWIPC)
    except OSError:
        _through_user_namespace()


def _through_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC)
    me = Path("/proc/self")
    (me / "setgroups").write_text("deny")  # user_namespaces(7): without it an ordinary user may not write gid_map
    (me / "uid_map").write_text(f"{user} {user} 1")  # unmapped, every file it creates would be refused (EOVERFLOW)
    (me / "gid_map").write_text(f"{group} {group} 1")
