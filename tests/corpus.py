"""Where the corpus of real files is and what its manifest says."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest


def corpus_root() -> Path | None:
    """The corpus folder: `SOURCEBOUND_CORPUS`, else `../shared/corpus` beside the checkout, else None."""
    named = os.environ.get("SOURCEBOUND_CORPUS")
    candidates = [Path(named)] if named else [Path(__file__).resolve().parents[2] / "shared" / "corpus"]
    return next((path.resolve() for path in candidates if (path / "manifest.csv").is_file()), None)


def rows() -> list[dict[str, str]]:
    """The manifest's rows, or an empty list where there is no corpus."""
    root = corpus_root()
    if root is None:
        return []
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def corpus_file(relative: str) -> Path:
    """One corpus file; the calling test is skipped, with the reason, where there is no corpus."""
    root = corpus_root()
    if root is None:
        pytest.skip("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    return root / relative
