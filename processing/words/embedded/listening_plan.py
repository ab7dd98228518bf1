"""What the embedded recogniser is: its model's identity, its language, and when it is believed. Pure, imports no model.

Belongs here: identity, the rules of cutting into utterances, the threshold below which what it hears is not its
language. Does not belong here: listening itself (listening). The numbers are from docs/decisions/listening.md.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from processing.words.answers.speech import Fit

PACKAGE = "pocketsphinx"
FOLDER = "model/en-us"
FORMAT = "pocketsphinx.v1"
LANGUAGE = "en"
CODE_VERSION = "1"  # raised when the same sound would give other words or another fit
# One utterance has one spectral mean and one lattice: long enough for the mean, short enough for the lattice's memory.
UTTERANCE_RULES = {"longest_s": 20, "silence_s": 1, "pad_ms": 200, "overlap_ms": 200, "most": 1_000}

GAIN_WEIGHT = 30  # puts the two measures on one scale: alone, neither tells English from the rest
LEAST = 60  # English that was understood reaches 160 and more, other languages stay at -50 and below
LEAST_STATED = 0  # where the source says English: what is still below is nonsense, whatever is spoken
ENOUGH_FRAMES = 150  # a second and a half: less speech tells no language


class NoModel(RuntimeError):
    """The model that this installation should carry is not there."""


@functools.cache
def model() -> dict[str, Any]:
    """Id, version, sha256, languages and answer format. Raises `NoModel` when the package does not carry its model.

    The digest is over the version of this code and the names and digests of all files of the model, in the order of
    their names.
    """
    folder = model_folder()
    digest = hashlib.sha256(f"{CODE_VERSION}\n".encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return {
        "id": "pocketsphinx-en-us",
        "version": importlib.metadata.version(PACKAGE),
        "sha256": digest.hexdigest(),
        "languages": [LANGUAGE],
        "format": FORMAT,
    }


def model_folder() -> Path:
    """Where the model's files are; the package is found without being imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / FOLDER).is_dir():
            return Path(folder) / FOLDER
    raise NoModel(f"{PACKAGE} with {FOLDER} is not installed; set the environment up again with `make setup`")


def unlike(fit: Fit, *, is_stated: bool) -> str | None:
    """None where the sound fits the model's language, else why it is not believed.

    `is_stated` says that the source names this language, so that only nonsense is refused, whatever its language.
    """
    if not fit.spoken or not fit.frames:
        return "no word can be made out in it"
    if fit.spoken < ENOUGH_FRAMES and not is_stated:
        return "there is too little speech in it to tell its language"
    if evidence(fit) < (LEAST_STATED if is_stated else LEAST):
        return "what is spoken in it is no English that the model understands"
    return None


def evidence(fit: Fit) -> int:
    """How much speaks for the model's language: certainty in thousandths and gain, a frame of speech."""
    return (fit.certainty + GAIN_WEIGHT * fit.gain) // max(1, fit.spoken)
