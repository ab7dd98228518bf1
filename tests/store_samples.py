"""Small artifacts for tests of the store: a complete recipe, a staged output, one call to publish it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processing.manifest import DeterminismClass, Outcome, Verdict
from processing.recipe import Recipe
from resources.store.store import Published, Store

PASSED = Verdict("decodes", Outcome.PASSED, "48 frames", "48 frames")
FAILED = Verdict("covers the duration", Outcome.FAILED, "1.0 s", "2.0 s")
FILES = {"chunk.mp4": b"picture" * 1000, "stills/00001.jpg": b"still" * 100}


def recipe(number: int = 1, asset: str = "chunks") -> dict[str, Any]:
    """A complete recipe; each number gives another one."""
    return Recipe(
        asset=asset,
        code_version="1",
        parameters={"number": number},
        inputs={"source": "a" * 64},
        tools={"av": "18.1.0"},
    ).to_json()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` below `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def publish(store: Store, files: Mapping[str, bytes] = FILES, **changed: Any) -> Published:
    """Stage `files` and publish them; keyword arguments replace those of `Store.publish`."""
    wanted: dict[str, Any] = {
        "asset": "chunks",
        "recipe": recipe(),
        "facts": {"frames": 48},
        "verdicts": (PASSED,),
        "determinism": DeterminismClass.A,
        "made_by": {"run_id": "run-1"},
    }
    if "folder" in changed:
        return store.publish(**(wanted | changed))
    with store.stage("a test", "owner") as staging:
        return store.publish(**(wanted | {"folder": write(staging.folder / "out", files)} | changed))
