"""What a file's name says about it: temporary, a companion of another file, or a file in its own right.

Belongs here: the rules of names, for the folder sensor and the command line alike. Does not belong here: what a file is
(processing/probe/magic looks at bytes) or whether it lies still (sensors/plan).
"""

from __future__ import annotations

SIDECAR_SUFFIX = ".sourcebound.json"
SUBTITLE_SUFFIXES = (".srt", ".vtt")
TEMPORARY_SUFFIXES = (
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".opdownload",
    ".aria2",
    ".!ut",
    ".tmp",
    ".temp",
    ".swp",
    "~",
)
TEMPORARY_PREFIXES = (".", "~$")
TOO_LONG = "its path is too long to be kept; move it nearer to the top"
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini"})


def is_temporary(name: str) -> bool:
    """Whether a file's name says that it is not meant to be taken yet, or at all."""
    lowered = name.lower()
    return lowered.startswith(TEMPORARY_PREFIXES) or lowered.endswith(TEMPORARY_SUFFIXES) or lowered in SYSTEM_NAMES


def is_sidecar(name: str) -> bool:
    """Whether it says something about the file whose name it begins with."""
    return name.lower().endswith(SIDECAR_SUFFIX)


def is_subtitle(name: str) -> bool:
    """Whether it is a text track that belongs to a medium beside it."""
    return name.lower().endswith(SUBTITLE_SUFFIXES)


def counts(name: str) -> bool:
    """Whether a file found in a folder is taken in for itself."""
    return not (is_temporary(name) or is_sidecar(name) or is_subtitle(name))
