"""Whether a release can be had on this machine now, and if not, the one thing that mends it.

Belongs here: looking for extras, folders of models, keys and days of retirement. Does not belong here: asking a
provider whether it is well (resources/gateway) or what a release is (release).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resources.releases.release import Release

WARN_BEFORE = dt.timedelta(days=60)
BLOCK = 1 << 20
MODEL_FILE = "model.bin"
BESIDE = ("config.json", "tokenizer.json")  # without the last the package would ask the network for it
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
WHISPER_EXTRA, WHISPER_MODULE = "whisper", "faster_whisper"
# Where the SDK of AWS finds credentials without asking the network. An empty `key_env` says: by the machine's role.
AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a release cannot be had, and what to do: a command where one does it."""

    why: str
    fix: str


def lack_of(release: Release, today: dt.date, environment: Mapping[str, str]) -> Lack | None:
    """What keeps a release from being used, or None."""
    if release.retires is not None and today >= release.retires:
        return Lack(f"it was retired on {release.retires.isoformat()}", "name another release for the task")
    if release.provider == "whisper_local":
        return _of_whisper(release)
    if release.provider == "openai_http":
        return _of_key(str(release.settings.get("key_env") or ""), environment)
    if release.provider == "aws":
        return _of_aws(release, environment)
    return None  # an embedded one was identified by its files


def warning_of(release: Release, today: dt.date) -> str | None:
    """That a release is to be retired soon, or None."""
    if release.retires is None or not today < release.retires <= today + WARN_BEFORE:
        return None
    days = (release.retires - today).days
    return f"it is retired on {release.retires.isoformat()}, in {days} {'day' if days == 1 else 'days'}"


def _of_key(name: str, environment: Mapping[str, str]) -> Lack | None:
    if not name or environment.get(name):
        return None
    return Lack(f"the environment variable {name} is not set", f"export {name}=...")


def _of_aws(release: Release, environment: Mapping[str, str]) -> Lack | None:
    if not release.settings.get("region"):
        return Lack("it has no region", f'set region of the release {release.id}, such as region = "eu-central-1"')
    if "key_env" in release.settings:
        return _of_key(str(release.settings["key_env"] or ""), environment)
    home = environment.get("HOME")
    has_file = home is not None and (Path(home) / ".aws" / "credentials").is_file()
    if has_file or any(environment.get(name) for name in AWS_VARIABLES):
        return None
    return Lack("no credentials of AWS were found", "export AWS_PROFILE=...")


def _of_whisper(release: Release) -> Lack | None:
    settings = release.settings
    extra = str(settings.get("extra", WHISPER_EXTRA))
    if importlib.util.find_spec(str(settings.get("module", WHISPER_MODULE))) is None:
        return Lack(f"the extra {extra} is not installed", f"pip install 'sourcebound[{extra}]'")
    directory = str(settings.get("directory") or "")
    fetch = f"hf download {settings['model']} --local-dir {directory or 'DIRECTORY'}"
    if not directory:
        return Lack("no folder of its model is named", f"{fetch}, and set directory of the release {release.id}")
    folder = Path(directory)
    if not folder.is_dir():
        return Lack(f"there is no folder {directory}", fetch)
    missing = missing_of(folder)
    if missing:
        return Lack(f"{directory} lacks {', '.join(missing)}", f"{fetch} --force-download")
    found = _sha256(folder / MODEL_FILE)
    if found != release.sha256:
        return Lack(
            f"{directory}/{MODEL_FILE} is damaged or another one: its sha256 is {found}", f"{fetch} --force-download"
        )
    return None


def missing_of(folder: Path) -> list[str]:
    """The files that a folder lacks for a model that can be loaded."""
    missing = [name for name in (MODEL_FILE, *BESIDE) if not (folder / name).is_file()]
    has_vocabulary = any((folder / name).is_file() for name in VOCABULARIES)
    return missing if has_vocabulary else [*missing, VOCABULARIES[0]]


_DIGESTS: dict[tuple[str, int, int], str] = {}


def _sha256(path: Path) -> str:
    """Of a file that may be gigabytes: worked out again only when its size or time has changed."""
    found = path.stat()
    key = (str(path), found.st_size, found.st_mtime_ns)
    if key not in _DIGESTS:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        _DIGESTS[key] = digest.hexdigest()
    return _DIGESTS[key]
