"""The published place: whole releases under stable names, in a folder and in a bucket."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer

from processing.failures import ContractBroken
from processing.manifest import Manifest
from resources.store.published import Published, PublishedBucket, PublishedFolder
from resources.store.store import Store
from tests.store_samples import publish, recipe

KEY = "a-clip-0123456789"
SEGMENTS = {"720/init.mp4": b"init", "720/00001.m4s": b"segment one", "720/00002.m4s": b"segment two"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "bucket", "folder over a bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Published]:
    """A store and a published place beside it."""
    if request.param == "folder":
        store = Store.open(tmp_path / "store")
        return store, PublishedFolder(tmp_path / "published", store)
    options = {
        "endpoint": request.getfixturevalue("endpoint"),
        "region": "us-east-1",
        "access_key_id": "test",
        "secret_access_key": "test",
    }
    bucket = f"test-{secrets.token_hex(6)}"
    boto3.client(
        "s3",
        endpoint_url=options["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).create_bucket(Bucket=bucket)
    store = Store.open(f"s3://{bucket}/home", cache=tmp_path / "cache", options=options)
    if request.param == "bucket":
        return store, PublishedBucket(bucket, "home", store, options)
    return store, PublishedFolder(tmp_path / "published", store)


def release(store: Store, number: int, *, poster: bytes = b"poster", link: str = "stills/poster.jpg") -> Manifest:
    """Publish the artifacts of a release: segments, a poster, and the release that names them."""
    hls = publish(store, SEGMENTS, asset="hls", recipe=recipe(1, "hls")).manifest
    still = publish(store, {"stills/poster.jpg": poster}, asset="poster", recipe=recipe(number, "poster")).manifest
    links = {
        "hls": {"asset": "hls", "recipe_hash": hls.recipe_hash, "path": ""},
        "low": {"asset": "hls", "recipe_hash": hls.recipe_hash, "path": "720"},
        "poster.jpg": {"asset": "poster", "recipe_hash": still.recipe_hash, "path": link},
    }
    texts = {"master.m3u8": b"#EXTM3U %d" % number, "captions/en.vtt": b"WEBVTT %d" % number}
    return publish(
        store, texts, asset="release", recipe=recipe(number, "release"), facts={"links": links, "texts": [*texts]}
    ).manifest


def contents(published: Published, to: Path) -> dict[str, bytes]:
    """What somebody gets who asks for the source now."""
    count = published.copy_out(KEY, to)
    assert not any(path.is_symlink() for path in to.rglob("*"))
    found = {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert count == len(found)
    return found


def test_a_release_is_there_whole_with_its_links_resolved(place: tuple[Store, Published], tmp_path: Path) -> None:
    store, published = place
    assert not published.exists(KEY)
    published.switch(KEY, release(store, 1))
    assert published.exists(KEY)
    assert contents(published, tmp_path / "out") == {
        "master.m3u8": b"#EXTM3U 1",
        "captions/en.vtt": b"WEBVTT 1",
        "poster.jpg": b"poster",
        **{f"hls/{name}": content for name, content in SEGMENTS.items()},
        **{name.replace("720/", "low/"): content for name, content in SEGMENTS.items()},
    }


def test_a_new_release_replaces_the_old_one_under_the_same_address(
    place: tuple[Store, Published], tmp_path: Path
) -> None:
    store, published = place
    first = published.switch(KEY, release(store, 1))
    second = published.switch(KEY, release(store, 2, poster=b"another"))
    assert first == second
    now = contents(published, tmp_path / "out")
    assert (now["master.m3u8"], now["poster.jpg"]) == (b"#EXTM3U 2", b"another")


def test_the_same_release_again_changes_nothing(place: tuple[Store, Published], tmp_path: Path) -> None:
    store, published = place
    same = release(store, 1)
    published.switch(KEY, same)
    before = contents(published, tmp_path / "before")
    published.switch(KEY, same)
    assert contents(published, tmp_path / "after") == before


def test_a_name_that_is_gone_is_noticed_and_put_back(place: tuple[Store, Published], tmp_path: Path) -> None:
    store, published = place
    same = release(store, 1)
    published.switch(KEY, same)
    whole = contents(published, tmp_path / "whole")
    for name in ("poster.jpg", "master.m3u8"):
        assert published.shows(KEY, same)
        lose(published, name)
        assert not published.shows(KEY, same)
        published.switch(KEY, same)
    assert published.shows(KEY, same)
    assert not published.shows(KEY, release(store, 2))
    assert contents(published, tmp_path / "again") == whole


def lose(published: Published, name: str) -> None:
    """What somebody does who cleans up in the wrong place."""
    if isinstance(published, PublishedFolder):
        (published.root / KEY / name).unlink()
    else:
        assert isinstance(published, PublishedBucket)
        objects = published._objects
        found = (item["path"] for page in obstore.list(objects, f"home/published/{KEY}/") for item in page)
        path = next(path for path in found if path.endswith(f"/{name}"))
        obstore.delete(objects, path)


def test_a_release_that_links_to_what_is_not_there_leaves_the_old_one(
    place: tuple[Store, Published], tmp_path: Path
) -> None:
    store, published = place
    published.switch(KEY, release(store, 1))
    with pytest.raises(ContractBroken, match=r"no 'nothing\.jpg' to link to"):
        published.switch(KEY, release(store, 2, link="nothing.jpg"))
    broken = release(store, 3)
    store.remove("hls", broken.facts["links"]["hls"]["recipe_hash"])
    with pytest.raises(ContractBroken, match="not in the store"):
        published.switch(KEY, broken)
    assert published.exists(KEY)


def test_what_was_taken_back_is_gone_and_the_artifacts_stay(place: tuple[Store, Published], tmp_path: Path) -> None:
    store, published = place
    made = release(store, 1)
    published.switch(KEY, made)
    published.remove(KEY)
    assert not published.exists(KEY)
    with pytest.raises(FileNotFoundError):
        published.copy_out(KEY, tmp_path / "out")
    assert store.find("release", made.recipe_hash) == made


@pytest.mark.parametrize("key", ["../other", "a/b", ".hidden", ""])
def test_a_key_that_leads_elsewhere_is_refused(place: tuple[Store, Published], key: str) -> None:
    with pytest.raises(ValueError, match="not the key of a source"):
        place[1].remove(key)


@pytest.mark.parametrize("name", ["../escape.jpg", "/etc/passwd", "a/../../b"])
def test_a_name_that_leads_out_of_the_release_is_refused(place: tuple[Store, Published], name: str) -> None:
    store, published = place
    made = release(store, 1)
    facts = {"links": {name: made.facts["links"]["hls"]}, "texts": []}
    hostile = publish(store, {}, asset="release", recipe=recipe(9, "release"), facts=facts).manifest
    with pytest.raises(ValueError, match="not a name inside a release"):
        published.switch(KEY, hostile)


def test_readers_never_see_a_mixture_while_releases_switch(tmp_path: Path) -> None:
    """A reader that enters the folder once reads one version to the end, however often it is switched meanwhile."""
    store = Store.open(tmp_path / "store")
    published = PublishedFolder(tmp_path / "published", store)
    releases = [release(store, number) for number in (1, 2)]
    published.switch(KEY, releases[0])
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            for each in reversed(releases):
                published.switch(KEY, each)

    switching = threading.Thread(target=switch)
    switching.start()
    try:
        for _ in range(300):
            version = (published.root / KEY).resolve(strict=True)
            pair = ((version / "master.m3u8").read_bytes()[-1:], (version / "captions/en.vtt").read_bytes()[-1:])
            assert pair in {(b"1", b"1"), (b"2", b"2")}
    finally:
        stop.set()
        switching.join()


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_keeps_the_version_before_for_readers_inside_it_and_no_more(tmp_path: Path, linked: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if linked:
        (tmp_path / "link").symlink_to(home, target_is_directory=True)
        home = tmp_path / "link"
    store = Store.open(home / "store")
    published = PublishedFolder(home / "published", store)
    for number in range(1, 5):
        published.switch(KEY, release(store, number))
    assert len(list((published.root / ".versions" / KEY).iterdir())) == 2
    assert [path.name for path in published.root.iterdir() if not path.name.startswith(".")] == [KEY]


def test_a_folder_links_into_the_store_and_can_be_moved_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = Store.open(home / "store")
    PublishedFolder(home / "published", store).switch(KEY, release(store, 1))
    moved = home.rename(tmp_path / "moved")
    poster = moved / "published" / KEY / "poster.jpg"
    assert poster.is_symlink()
    assert poster.resolve().is_relative_to(moved / "store")
    assert poster.read_bytes() == b"poster"


def test_the_pointer_of_a_bucket_names_a_version_that_is_complete(endpoint: str, tmp_path: Path) -> None:
    options = {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "test", "secret_access_key": "test"}
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    bucket = f"test-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)
    store = Store.open(f"s3://{bucket}", cache=tmp_path / "cache", options=options)
    address = PublishedBucket(bucket, "", store, options).switch(KEY, release(store, 1))
    home = f"published/{KEY}"
    assert address == f"s3://{bucket}/{home}/index.json"
    pointer = json.loads(client.get_object(Bucket=bucket, Key=f"{home}/index.json")["Body"].read())
    found = {item["Key"] for item in client.list_objects_v2(Bucket=bucket, Prefix=f"{home}/")["Contents"]}
    assert found == {f"{home}/index.json", *(f"{home}/{pointer['base']}{name}" for name in pointer["files"])}
    assert pointer["base"] == f"{pointer['version']}/"
