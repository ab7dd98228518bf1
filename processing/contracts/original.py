"""What must hold of a kept original: it is there, whole, and its bytes are those that arrived."""

from __future__ import annotations

import json

from processing.contracts.clauses import expect, failed
from processing.manifest import Verdict, hash_file
from processing.original import DESCRIPTION
from processing.work import Task


def check(task: Task) -> list[Verdict]:
    """Read the kept file back and compare it with what the artifact says of it."""
    if task.made is None or task.source is None:
        raise ValueError("the contract of an original needs the artifact and the file")
    try:
        described = json.loads(task.made.path(DESCRIPTION).read_bytes())
    except (KeyError, OSError, ValueError):
        return [failed("described", "no readable original.json", "a description")]
    size, digest = hash_file(task.source.path)
    return [
        expect("not empty", size > 0, f"{size} bytes", "at least one byte"),
        expect("same bytes", digest == described.get("sha256"), digest, str(described.get("sha256"))),
        expect("same size", size == described.get("bytes"), f"{size} bytes", f"{described.get('bytes')} bytes"),
    ]
