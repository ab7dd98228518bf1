"""Manifests: what they carry survives JSON, and the data version says exactly whether the output is another."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.manifest import (
    HASH_BLOCK_BYTES,
    DeterminismClass,
    FileEntry,
    Manifest,
    Outcome,
    Verdict,
    data_version,
    hash_file,
    list_files,
)
from processing.recipe import canonical

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
entries = st.lists(
    st.builds(FileEntry, names, st.integers(0, 2**50), digests), max_size=5, unique_by=lambda entry: entry.path
).map(tuple)
facts = st.dictionaries(names, st.integers(-(2**50), 2**50) | names, max_size=4)
verdicts = st.lists(st.builds(Verdict, names, st.sampled_from(Outcome), names, names), max_size=3).map(tuple)
manifests = st.builds(
    Manifest,
    asset=names,
    recipe=facts,
    recipe_hash=digests,
    files=entries,
    facts=facts,
    verdicts=verdicts,
    determinism=st.sampled_from(DeterminismClass),
    made_by=facts,
    products=st.dictionaries(names, digests, max_size=3),
    gaps=st.lists(facts, max_size=2).map(tuple),
)


@given(manifests)
def test_a_manifest_survives_canonical_json(manifest: Manifest) -> None:
    document = json.loads(canonical(manifest.to_json()))
    assert Manifest.from_json(document) == manifest
    assert document["data_version"] == manifest.data_version


@given(manifests, st.randoms(use_true_random=False))
def test_the_order_in_which_files_are_named_does_not_change_the_data_version(manifest: Manifest, order: object) -> None:
    files = list(manifest.files)
    order.shuffle(files)  # type: ignore[attr-defined]
    assert data_version(files, manifest.facts, manifest.products) == manifest.data_version


@given(manifests)
def test_who_made_it_and_what_was_found_do_not_change_the_data_version(manifest: Manifest) -> None:
    other = dataclasses.replace(
        manifest, made_by={"run_id": "another"}, verdicts=(), recipe_hash="0" * 64, determinism=DeterminismClass.C
    )
    assert other.data_version == manifest.data_version


@given(manifests, digests)
def test_any_other_output_changes_the_data_version(manifest: Manifest, digest: str) -> None:
    added = (*manifest.files, FileEntry("one/more", 1, digest))
    changed = [
        data_version(added, manifest.facts, manifest.products),
        data_version(manifest.files, {**manifest.facts, "one/more": 1}, manifest.products),
        data_version(manifest.files, manifest.facts, {**manifest.products, "one/more": digest}),
    ]
    assert manifest.data_version not in changed
    assert len(set(changed)) == 3


@pytest.mark.parametrize("size", [0, 1, HASH_BLOCK_BYTES - 1, HASH_BLOCK_BYTES, HASH_BLOCK_BYTES + 1])
def test_a_file_is_hashed_whole_over_block_borders(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    (tmp_path / "file").write_bytes(content)
    assert hash_file(tmp_path / "file") == (size, hashlib.sha256(content).hexdigest())


def test_files_are_listed_sorted_with_their_folders_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("z/1.mp4", "b.txt", "a b.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert [(entry.path, entry.bytes) for entry in list_files(tmp_path)] == [
        ("a b.txt", 7),
        ("b.txt", 5),
        ("z/1.mp4", 7),
    ]


def test_a_link_in_an_output_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="shortcut"):
        list_files(tmp_path)
