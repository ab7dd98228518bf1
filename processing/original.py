"""The `source` derivative: the kept original, described and proven to be what arrived.

Belongs here: the description. Does not belong here: copying (resources/store/originals) or parsing
(processing/probe): the file is read as bytes only.
"""

from __future__ import annotations

from processing.probe.magic import HEAD_BYTES, sniff
from processing.recipe import canonical
from processing.work import Result, Task

DESCRIPTION = "original.json"


def make(task: Task) -> Result:
    """Write `original.json`: sha256 (hex), bytes, and what the first bytes say it is. Raises OSError."""
    original = task.original
    with original.path.open("rb") as file:
        magic = sniff(file.read(HEAD_BYTES))
    facts = {
        "sha256": original.sha256,
        "bytes": original.bytes,
        "label": magic.label,
        "format_name": magic.format_name,
    }
    task.out.mkdir(parents=True, exist_ok=True)
    (task.out / DESCRIPTION).write_bytes(canonical(facts))
    return Result(facts=facts)
