"""Which files a call names: paths as they were typed, folders recursively.

Belongs here: finding them and saying which are left out. Does not belong here: reading them (resources/intake) or the
rules of names (resources/file_names).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from operations.cli.output import UsageProblem
from resources.file_names import SIDECAR_SUFFIX, TOO_LONG, counts, is_sidecar, is_subtitle
from resources.ledger.keys import is_too_long


@dataclass(slots=True)
class Found:
    """Files to take in, each once, in the order they were named; `left_out` are sentences about the others.

    `folders` counts the folders that were named: of what lies in one, not everything is meant.
    """

    files: dict[Path, None] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    folders: int = 0


def find_files(paths: Sequence[Path], *, but_not: Sequence[Path] = ()) -> Found:
    """The files of a call. Raises `UsageProblem` for a path that is not there.

    Of a folder: regular files and links to them, without companions, temporary names, dot files and dot folders, and
    without anything below `but_not` (home and store: a call over the current folder must not take in what it makes).
    A pipe, socket or device that is named itself is taken, to end with its cause; a companion is its file's business.
    """
    found = Found()
    for path in paths:
        if path.is_dir():
            found.folders += 1
            _walk(located(path), {_real(folder) for folder in but_not}, found)
        elif not os.path.lexists(path):
            raise UsageProblem(f"{path} does not exist")
        elif not path.exists() and path.is_symlink():
            raise UsageProblem(f"{path} is a link to {path.readlink()}, which does not exist")
        elif is_sidecar(path.name):
            found.left_out.append(f"{path} is a sidecar of {path.name[: -len(SIDECAR_SUFFIX)]} and is read with it")
        elif is_subtitle(path.name):
            found.left_out.append(f"{path} is text that belongs to a medium; it is no source of its own")
        else:
            _take(located(path), found)
    return found


def _take(path: Path, found: Found) -> None:
    if is_too_long(str(path)):
        found.left_out.append(f"{path.name}: {TOO_LONG}")
    else:
        found.files[path] = None


def located(path: Path | str) -> Path:
    """The absolute form of a path by which the ledger knows a file.

    Links stay as they are, so that a file has the name it was dropped under; where `..` follows one, only the file
    system knows where that leads.
    """
    path = Path(path)
    if ".." in path.parts:
        return Path(os.path.realpath(path.parent)) / path.name if path.name != ".." else Path(os.path.realpath(path))
    return path.absolute()


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _walk(root: Path, but_not: Collection[str], found: Found) -> None:
    def unreadable(error: OSError) -> None:
        found.left_out.append(f"{error.filename} cannot be listed ({error.strerror})")

    for folder, folders, names in os.walk(root, onerror=unreadable):
        here = Path(folder)
        links = [here / name for name in folders if (here / name).is_symlink()]
        found.left_out += [f"{link} is a link to a folder; name the folder itself" for link in sorted(links)]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and _real(here / name) not in but_not)
        for name in sorted(filter(counts, names)):
            path = here / name
            if path.is_file():
                _take(path, found)
            else:
                found.left_out.append(f"{path} is not a regular file")
