"""Which model reads pictures without a network, and under which rules. Pure, and imports no model.

Belongs here: the model's identity, the sizes it is shown. Does not belong here: reading (reading).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

FORMAT = "rapidocr.v1"
CODE_VERSION = "1"  # raised when the same model would read the same picture differently
PACKAGE = "rapidocr"
# Finding lines, telling which stand on their heads, reading them: one model each, all of them in the wheel.
FINDING = "PP-OCRv6_det_small.onnx"
TURNING = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
READING = "PP-OCRv6_rec_small.onnx"
# Those that were measured (benchmarks.reading). Its letters are Latin, Greek, Han, kana: Cyrillic, Arabic, Hangul and
# others come out as look-alikes.
LANGUAGES = ("en", "zh", "de", "fr", "it", "es", "pt")
SURE_AREA = 0.75  # of 1: how sure it is that a place holds text. Print has 0.77 to 0.9, leaves of trees up to 0.65


class NoModel(RuntimeError):
    """The models that this installation should carry are not there."""


@functools.cache
def model() -> dict[str, Any]:
    """Id, version, sha256 over the model files, languages, answer format. Raises `NoModel` where they are missing."""
    digest = hashlib.sha256(CODE_VERSION.encode())
    for name in (FINDING, TURNING, READING):
        digest.update(hashlib.sha256(model_path(name).read_bytes()).digest())
    return {
        "id": "rapidocr-ppocr-v6-small",
        "version": importlib.metadata.version(PACKAGE),
        "sha256": digest.hexdigest(),
        "languages": list(LANGUAGES),
        "format": FORMAT,
    }


def model_path(name: str) -> Path:
    """Where one of the files is; the package is found without being imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "models" / name).is_file():
            return Path(folder) / "models" / name
    raise NoModel(f"{PACKAGE} with {name} is not installed; set the environment up again with `make setup`")
