"""What goes wrong underneath a store, as failures of the closed taxonomy with a cause and a cure.

Belongs here: the translation of system and object-store errors. Does not belong here: retrying, which is Dagster's for
these (media_assets/policies.STORAGE), or troubles of a source file (originals).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from processing.failures import Transient
from processing.naming import DISK_FULL


def disk_trouble(error: OSError, what: str) -> Transient:
    """The failure for an error of the local disk while doing `what` ("publishing the poster")."""
    reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    if error.errno in DISK_FULL:
        return Transient(
            f"the disk is full: no room for {what}",
            cure="free space; the work goes on by itself where sourcebound is up, else when it is processed again",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Transient(
            f"{what} is not permitted ({reason})",
            cure="give this user write access to the folders of the home; the work goes on by itself",
        )
    return Transient(f"{what} failed on the disk ({reason})", cure="check the disk; the work is tried again")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of disk and object store inside become `Transient`, naming `what` was being done."""
    try:
        yield
    except shutil.Error:
        raise  # several at once: whoever copies a tree says what they are
    except OSError as error:
        raise disk_trouble(error, what) from error
    except BaseError as error:
        first_line = str(error).strip().partition("\n")[0][:200]
        raise Transient(
            f"the object store refused or did not answer while {what}: {first_line}",
            cure="check its address, credentials and network; the work is tried again",
        ) from error
