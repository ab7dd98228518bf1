"""Corpus files through Dagster, by the command a user types: the right state each, nothing made twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import NAMED_25, corpus_file, rows

COMMAND = "from operations.cli.main import app; app()"
ALLOWED = {"ok": {"ready"}, "reject": {"quarantined"}, "partial": {"ready", "quarantined"}}


def process(home: Path, files: Sequence[Path]) -> tuple[int, dict[str, Any]]:
    """`sourcebound process FILES --json` in a home of its own: exit status and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOURCEBOUND_")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "process", "--json", *map(str, files)],
        env={**environment, "SOURCEBOUND_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def judge(report: dict[str, Any], expected: dict[str, str]) -> None:
    """Every source in a state its manifest row allows, with a cause where it is not ready."""
    found = {entry["path"]: entry for entry in report["sources"]}
    assert set(found) == set(expected)
    wrong = {
        path: (entry["state"], entry["cause"])
        for path, entry in found.items()
        if entry["state"] not in ALLOWED[expected[path]] or (entry["state"] != "ready" and not entry["cause"])
    }
    assert wrong == {}


def through_dagster(home: Path, paths: Sequence[str]) -> None:
    """Process the files twice: right the first time, nothing to do the second."""
    by_path = {row["path"]: row["expected"] for row in rows()}
    files = [corpus_file(path) for path in paths]
    expected = {str(file): by_path[path] for file, path in zip(files, paths, strict=True)}
    status, first = process(home, files)
    judge(first, expected)
    assert status == 3  # some are quarantined, none failed
    again, second = process(home, files)
    judge(second, expected)
    assert again == 3
    assert second["encoder_calls"] == 0
    versions = [
        {
            entry["source"]: {name: asset["data_version"] for name, asset in entry["assets"].items()}
            for entry in report["sources"]
        }
        for report in (first, second)
    ]
    assert versions[0] == versions[1]


@pytest.mark.timeout(900)
def test_the_named_25_end_as_their_manifest_says(tmp_path: Path) -> None:
    through_dagster(tmp_path / "home", NAMED_25)


@pytest.mark.corpus
@pytest.mark.timeout(3000)
def test_all_of_the_corpus_ends_as_its_manifest_says(tmp_path: Path) -> None:
    through_dagster(tmp_path / "home", [row["path"] for row in rows()])
