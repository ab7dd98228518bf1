"""Verification: every kind of damage to an artifact is found and named, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from processing.failures import ContractBroken
from resources.store.store import Store
from resources.verify import verify_artifact, verify_everything
from tests.store_samples import publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a published file as a broken disk or a careless person would."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def edited(**changes: object) -> Callable[[bytes], bytes]:
    return lambda document: json.dumps(json.loads(document) | changes).encode()


def test_an_untouched_store_has_no_problem(store: Store) -> None:
    publish(store)
    assert list(verify_everything(store)) == []


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (lambda folder: (folder / "chunk.mp4").unlink(), "chunk.mp4", "is missing"),
        (lambda folder: rewrite(folder / "chunk.mp4", lambda old: old[:-1]), "chunk.mp4", "6999 bytes instead of 7000"),
        (lambda folder: rewrite(folder / "chunk.mp4", lambda old: b"!" + old[1:]), "chunk.mp4", "other bytes"),
        (lambda folder: (folder / "stills" / "extra.jpg").write_bytes(b"x"), "stills/extra.jpg", "was not published"),
        (lambda folder: rewrite(folder / "manifest.json", edited(facts={})), "data_version", "is recorded as"),
        (lambda folder: rewrite(folder / "manifest.json", edited(verdicts=[])), "verdicts", "are missing"),
        (lambda folder: rewrite(folder / "manifest.json", edited(recipe={})), "recipe", "is incomplete"),
    ],
)
def test_each_damage_is_one_named_problem(
    store: Store, damage: Callable[[Path], object], where: str, what: str
) -> None:
    made = publish(store).manifest
    folder = store.folder(made)
    assert folder is not None
    damage(folder)
    found = store.find("chunks", made.recipe_hash)
    assert found is not None
    problems = verify_artifact(store, found)
    assert [(problem.where, what in problem.what) for problem in problems] == [(where, True)]
    assert problems[0].sentence.startswith(f"chunks {made.recipe_hash[:12]}: {where} ")


def test_a_recipe_that_was_edited_no_longer_has_its_hash(store: Store) -> None:
    made = publish(store).manifest
    folder = store.folder(made)
    assert folder is not None
    rewrite(folder / "manifest.json", edited(recipe={**made.recipe, "seed": 1}))
    found = store.find("chunks", made.recipe_hash)
    assert found is not None
    assert [problem.where for problem in verify_artifact(store, found)] == ["recipe"]


@pytest.mark.parametrize("change", [lambda old: old[:100], lambda old: b"", edited(asset="poster"), lambda old: b"[]"])
def test_a_manifest_that_is_damaged_is_an_error_and_not_an_absence(
    store: Store, change: Callable[[bytes], bytes]
) -> None:
    """Absence would let the artifact be made again beside damaged files that nobody is told about."""
    made = publish(store).manifest
    folder = store.folder(made)
    assert folder is not None
    rewrite(folder / "manifest.json", change)
    with pytest.raises(ContractBroken, match="manifest"):
        store.find("chunks", made.recipe_hash)
    assert [problem.where for problem in verify_everything(store)] == ["manifest.json"]


def test_files_without_a_manifest_are_nothing_and_make_room_for_a_maker(store: Store) -> None:
    made = publish(store).manifest
    folder = store.folder(made)
    assert folder is not None
    (folder / "manifest.json").unlink()
    assert store.find("chunks", made.recipe_hash) is None
    again = publish(store, {"chunk.mp4": b"made later"})
    assert again.created
    assert verify_artifact(store, again.manifest) == []


def test_a_published_file_cannot_be_written_to(store: Store) -> None:
    made = publish(store).manifest
    folder = store.folder(made)
    assert folder is not None
    modes = {path.name: path.stat().st_mode & 0o222 for path in folder.rglob("*") if path.is_file()}
    assert modes == {"chunk.mp4": 0, "00001.jpg": 0, "manifest.json": 0}
