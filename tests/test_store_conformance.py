"""What every store promises, tried on a local folder and on an S3 bucket (moto's server on loopback)."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer

from processing.failures import ContractBroken, Transient
from processing.recipe import FIELDS, IncompleteRecipe, recipe_hash
from resources.store.store import Published, Store
from resources.verify import verify_artifact
from tests.store_faults import open_store
from tests.store_samples import FAILED, FILES, publish, recipe, write

ROOT = Path(__file__).resolve().parents[1]
CREDENTIALS = {"region": "us-east-1", "access_key_id": "test", "secret_access_key": "test"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A real HTTP server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where a store is, as JSON, so that other processes can open the same one."""
    cache = str(tmp_path / "cache")
    if request.param == "folder":
        return {"location": str(tmp_path / "a store"), "cache": cache, "options": {}}
    endpoint = request.getfixturevalue("endpoint")
    bucket = f"test-{secrets.token_hex(6)}"
    client(endpoint).create_bucket(Bucket=bucket)
    return {
        "location": f"s3://{bucket}/some/prefix",
        "cache": cache,
        "options": {"endpoint": endpoint, **CREDENTIALS},
    }


@pytest.fixture
def store(place: dict[str, Any]) -> Store:
    return open_store(place)


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=CREDENTIALS["region"],
        aws_access_key_id=CREDENTIALS["access_key_id"],
        aws_secret_access_key=CREDENTIALS["secret_access_key"],
    )


def put_file(place: dict[str, Any], path: str, content: bytes) -> None:
    """Write one file or object at the store's address, past the store."""
    if not place["options"]:
        write(Path(place["location"]), {path: content})
        return
    bucket, _, prefix = place["location"].removeprefix("s3://").partition("/")
    client(place["options"]["endpoint"]).put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=content)


def files_at(place: dict[str, Any]) -> list[str]:
    """Every file or object at the store's address."""
    if not place["options"]:
        root = Path(place["location"])
        return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    bucket, _, prefix = place["location"].removeprefix("s3://").partition("/")
    listed = client(place["options"]["endpoint"]).list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return [item["Key"].removeprefix(f"{prefix}/") for item in listed.get("Contents", [])]


def fault_lines(mode: str, place: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store_faults", mode, json.dumps(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_published_is_found_by_its_recipe_with_every_byte(store: Store) -> None:
    made = publish(store)
    found = store.find("chunks", recipe_hash(recipe()))
    assert made.created
    assert found == made.manifest
    task_input = store.as_input(found, "chunk")
    assert {entry.path: task_input.path(entry.path).read_bytes() for entry in found.files} == FILES
    assert task_input.facts == {"frames": 48}
    assert list(store.committed()) == [("chunks", found.recipe_hash)]
    assert verify_artifact(store, found) == []


def test_a_reader_that_finds_no_manifest_finds_nothing(store: Store) -> None:
    assert store.find("chunks", recipe_hash(recipe())) is None
    assert list(store.committed()) == []


def test_the_same_recipe_again_gives_the_first_artifact_and_changes_no_byte(store: Store) -> None:
    first = publish(store)
    second = publish(store, {"chunk.mp4": b"something else"}, made_by={"run_id": "run-2"})
    assert not second.created
    assert second.manifest == first.manifest
    assert verify_artifact(store, first.manifest) == []


def test_a_changed_recipe_gives_a_new_artifact_beside_the_old_one(store: Store) -> None:
    first, second = publish(store), publish(store, recipe=recipe(2))
    assert second.created
    assert first.manifest.recipe_hash != second.manifest.recipe_hash
    assert store.find("chunks", first.manifest.recipe_hash) == first.manifest


def test_the_manifest_keeps_who_made_it_and_what_is_missing(store: Store, place: dict[str, Any]) -> None:
    gap = {"start": 0, "end": 90_000, "timescale": 90_000}
    publish(store, completeness={"num": 1, "den": 2}, gaps=(gap,), products={"ladder/720/00000": "b" * 64})
    found = open_store(place).find("chunks", recipe_hash(recipe()))
    assert found is not None
    assert (dict(found.made_by), dict(found.completeness)) == ({"run_id": "run-1"}, {"num": 1, "den": 2})
    assert (found.gaps, dict(found.products)) == ((gap,), {"ladder/720/00000": "b" * 64})


def test_facts_alone_are_an_artifact(store: Store) -> None:
    with store.stage("index", "owner") as staging:
        made = publish(store, folder=staging.empty_folder())
    assert made.manifest.files == ()
    assert store.find("chunks", made.manifest.recipe_hash) == made.manifest
    assert verify_artifact(store, made.manifest) == []


def test_an_output_made_outside_the_staging_folder_is_published_too(store: Store, tmp_path: Path) -> None:
    made = publish(store, folder=write(tmp_path / "elsewhere", FILES))
    assert made.created
    assert verify_artifact(store, made.manifest) == []
    assert store.sweep_staging(lambda owner: False) == 0


@pytest.mark.parametrize("field", FIELDS)
def test_a_recipe_without_one_of_its_fields_is_refused(store: Store, field: str) -> None:
    incomplete = {name: value for name, value in recipe().items() if name != field}
    with pytest.raises(IncompleteRecipe) as refused:
        publish(store, recipe=incomplete)
    assert refused.value.field == field
    assert list(store.committed()) == []


def test_an_output_whose_contract_failed_or_said_nothing_is_refused(store: Store) -> None:
    with pytest.raises(ContractBroken, match=r"covers the duration found 1\.0 s"):
        publish(store, verdicts=(FAILED,))
    with pytest.raises(ContractBroken, match="no clause"):
        publish(store, verdicts=())
    assert list(store.committed()) == []


def test_a_recipe_of_another_asset_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not of 'poster'"):
        publish(store, asset="poster")


def test_an_output_that_holds_a_link_is_refused(store: Store) -> None:
    with store.stage("poster", "owner") as staging:
        out = write(staging.folder / "out", FILES)
        (out / "secret").symlink_to("/etc/hostname")
        with pytest.raises(ContractBroken, match="secret"):
            publish(store, folder=out)
    assert list(store.committed()) == []


def test_an_output_cannot_bring_a_manifest_of_its_own(store: Store) -> None:
    with pytest.raises(ContractBroken, match=r"manifest\.json"):
        publish(store, FILES | {"manifest.json": b"{}"})


@pytest.mark.parametrize("leftover", [False, True])
def test_eight_makers_of_one_recipe_at_once_leave_exactly_one_artifact(place: dict[str, Any], leftover: bool) -> None:
    """Their bytes differ, so a mixture of two makers' files would not verify. With a leftover, all of them meet it."""
    if leftover:
        put_file(place, f"artifacts/chunks/{recipe_hash(recipe())}/0123456789abcdef/stray.mp4", b"of a killed maker")
    lines = fault_lines("race", place)
    store = open_store(place)
    found = store.find("chunks", recipe_hash(recipe()))
    assert found is not None
    assert [line["created"] for line in lines].count(True) == 1
    assert {line["data_version"] for line in lines} == {found.data_version}
    assert verify_artifact(store, found) == []
    assert store.sweep_staging(lambda owner: False) == 0
    published = [path for path in files_at(place) if path.startswith("artifacts/")]
    assert len(published) == len(found.files) + 1, "losers and leftovers are gone"


def test_a_maker_that_comes_second_after_all_is_over_leaves_nothing_of_his(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """He looked before the first had committed, and commits long after."""
    first, second = open_store(place), open_store(place)
    late = [first.find("chunks", recipe_hash(recipe()))]
    made = publish(first).manifest
    look = second.find
    monkeypatch.setattr(second, "find", lambda asset, digest: late.pop() if late else look(asset, digest))
    outcome = publish(second, {"chunk.mp4": b"other bytes", "more.txt": b"and another file"})
    assert (outcome.created, outcome.manifest) == (False, made)
    assert verify_artifact(second, made) == []
    published = [path for path in files_at(place) if path.startswith("artifacts/")]
    assert len(published) == len(made.files) + 1


def test_what_a_killed_maker_left_is_gone_after_the_next_one(place: dict[str, Any]) -> None:
    put_file(place, f"artifacts/chunks/{recipe_hash(recipe())}/0123456789abcdef/stray.mp4", b"of a killed maker")
    store = open_store(place)
    made = publish(store)
    assert made.created
    assert [path for path in files_at(place) if "stray" in path] == []
    assert verify_artifact(store, made.manifest) == []


def test_who_meets_a_leftover_waits_for_whoever_is_replacing_it(tmp_path: Path) -> None:
    """Moving it aside unasked would move away what the other has committed there meanwhile."""
    store = Store.open(tmp_path)
    leftover = tmp_path / "artifacts" / "chunks" / recipe_hash(recipe())
    write(leftover, {"stray.mp4": b"of a killed maker"})
    outcomes: list[Published] = []
    waiting = threading.Thread(target=lambda: outcomes.append(publish(store, {"chunk.mp4": b"the later one"})))
    with (tmp_path / ".repair.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert (leftover / "stray.mp4").exists()
        shutil.rmtree(leftover)
        first = publish(Store.open(tmp_path))
    waiting.join()
    assert (first.created, [outcome.created for outcome in outcomes]) == (True, [False])
    assert store.find("chunks", recipe_hash(recipe())) == first.manifest


def test_bytes_that_arrived_otherwise_in_the_bucket_are_not_committed(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    client(endpoint).create_bucket(Bucket=bucket)
    store = Store.open(f"s3://{bucket}", cache=tmp_path, options={"endpoint": endpoint, **CREDENTIALS})
    put = obstore.put

    def losing(objects: Any, key: str, content: Any, **options: Any) -> Any:
        return put(objects, key, b"half" if key.endswith("chunk.mp4") else content, **options)

    monkeypatch.setattr(obstore, "put", losing)
    with pytest.raises(Transient, match="other bytes"):
        publish(store)
    assert list(store.committed()) == []
    monkeypatch.undo()
    assert publish(store).created


def test_a_maker_killed_at_any_step_leaves_a_whole_artifact_or_none(place: dict[str, Any]) -> None:
    lines = fault_lines("killed", place)
    assert len(lines) > 8
    for line in lines:
        assert line["signal"] == 9, line
        assert line["after"]["problems"] == [], line
        assert line["after"]["created"] is not line["after"]["found"], line
    assert {line["after"]["found"] for line in lines} == {True, False}, "no kill fell after the commit"


def test_a_disk_or_bucket_that_fails_at_any_step_is_a_transient_failure(place: dict[str, Any]) -> None:
    lines = fault_lines("broken", place)
    assert len(lines) > 8
    for line in lines:
        outcome = line["ended"]["outcome"]
        assert outcome in {"created", "found"} or "disk is full" in outcome or "object store" in outcome, line
        assert line["after"]["problems"] == [], line
        assert line["after"]["created"] is not line["after"]["found"], line


def test_staging_folders_of_the_dead_are_swept_and_those_of_the_living_stay(store: Store) -> None:
    """Owners hold spaces, slashes and dashes; a purpose too."""
    living = store.stage("chunks/00003", "host/1-2 boot--id 42 7")
    dead = store.stage("chunks/00004", "host/1-2 boot--id 43 7")
    with living, dead:
        owners = {"host/1-2 boot--id 42 7": True, "host/1-2 boot--id 43 7": False}
        assert store.sweep_staging(owners.__getitem__) == 1
        assert living.folder.is_dir()
        assert not dead.folder.exists()


def test_a_staging_folder_is_gone_at_the_end_also_after_a_failure(store: Store) -> None:
    staging = store.stage("poster", "owner")

    def work_and_fail() -> None:
        with staging:
            write(staging.folder / "out", FILES)
            assert len(staging.files()) == 2
            assert staging.contract_folder() != staging.contract_folder()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work_and_fail()
    assert not staging.folder.parent.exists()


def test_what_was_removed_is_found_no_more_and_can_be_made_again(store: Store) -> None:
    made = publish(store)
    store.remove("chunks", made.manifest.recipe_hash)
    assert store.find("chunks", made.manifest.recipe_hash) is None
    assert list(store.committed()) == []
    assert publish(store, {"chunk.mp4": b"new"}).created


def test_what_another_process_removed_is_found_no_more(tmp_path: Path) -> None:
    """Manifests are remembered; a removal elsewhere must still be seen."""
    store, other = Store.open(tmp_path), Store.open(tmp_path)
    made = publish(store).manifest
    assert other.find("chunks", made.recipe_hash) == made
    store.remove("chunks", made.recipe_hash)
    assert other.find("chunks", made.recipe_hash) is None
    again = publish(store, {"chunk.mp4": b"new"}).manifest
    assert other.find("chunks", made.recipe_hash) == again


def test_every_byte_is_on_the_disk_before_the_artifact_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a manifest must not name bytes that are lost."""
    synced: list[tuple[str, bool]] = []
    final = tmp_path / "artifacts" / "chunks" / recipe_hash(recipe())
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append((Path(f"/dev/fd/{descriptor}").resolve().name, final.exists()))
    )
    publish(Store.open(tmp_path))
    before = [name for name, visible in synced if not visible]
    assert before == ["chunk.mp4", "00001.jpg", "manifest.json", "artifacts"]
    assert [name for name, visible in synced if visible] == ["chunks"]


def test_bytes_that_changed_in_the_bucket_are_not_handed_to_a_task(endpoint: str, tmp_path: Path) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    client(endpoint).create_bucket(Bucket=bucket)
    store = Store.open(f"s3://{bucket}", cache=tmp_path, options={"endpoint": endpoint, **CREDENTIALS})
    made = publish(store).manifest
    key = f"{store.uri(made).removeprefix(f's3://{bucket}/')}/chunk.mp4"
    client(endpoint).put_object(Bucket=bucket, Key=key, Body=b"changed")
    with pytest.raises(Transient, match="other bytes"):
        store.as_input(made, "chunk")
    assert [problem.where for problem in verify_artifact(store, made)] == ["chunk.mp4"]


def test_a_process_forked_after_a_bucket_was_used_is_told_so_instead_of_hanging(endpoint: str, tmp_path: Path) -> None:
    bucket = f"test-{secrets.token_hex(6)}"
    client(endpoint).create_bucket(Bucket=bucket)
    options = {"endpoint": endpoint, **CREDENTIALS}
    lines = fault_lines("fork", {"location": f"s3://{bucket}", "cache": str(tmp_path), "options": options})
    assert "forked after its parent had used a bucket" in lines[0]["error"]


def test_an_address_that_is_no_store_is_refused() -> None:
    with pytest.raises(ValueError, match="no address of a store"):
        Store.open("ftp://host/folder")
    with pytest.raises(ValueError, match="cache"):
        Store.open("s3://bucket/prefix")


def test_an_unreachable_bucket_is_a_transient_failure_with_a_cure(tmp_path: Path) -> None:
    options = {"endpoint": "http://127.0.0.1:9", **CREDENTIALS}
    store = Store.open("s3://nowhere/prefix", cache=tmp_path, options=options)
    with pytest.raises(Transient, match="object store") as failed:
        store.find("chunks", "a" * 64)
    assert "credentials" in failed.value.cure
