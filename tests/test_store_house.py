"""The same work with artifacts in a bucket: same recipes, same data, a published folder that can be taken out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from media_assets.declared import declared
from media_assets.spec import works_of
from resources.house import House, open_house, open_published
from resources.planned import nothing_to_make
from resources.settings import load_settings
from resources.sharing import signed_page
from resources.store.backend import CannotSign
from tests.corpus import corpus_file
from tests.house import make, take_in
from tests.pages_trial import opened
from tests.players.harness import browser

BUCKET = "artifacts"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket; one server for all, for clients of a bucket are kept."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        try:
            yield f"s3://{BUCKET}"
        finally:
            server.stop()


@pytest.fixture
def bucket_house(bucket: str, tmp_path: Path, ledger_url: str) -> Iterator[House]:
    """A house whose store is an S3 bucket."""
    settings = load_settings(home=str(tmp_path / "bucket-home"), store_url=f"{bucket}/{tmp_path.name}")
    with closing(open_house(settings, ledger_url)) as opened:
        yield opened


def test_a_bucket_holds_the_same_artifacts_as_a_folder(bucket_house: House, house: House, tmp_path: Path) -> None:
    path = corpus_file("video/testsrc.mp4")
    made = {}
    for place in (house, bucket_house):
        (registration,) = take_in(place, path)
        make(place, registration)
        made[place.settings.store_location] = {
            name: (row.state, row.recipe_hash, row.data_version)
            for name, row in place.ledger.states(registration.source_key).items()
            if name != "dossier"  # it tells what everything took
        }
        to = tmp_path / f"out-{place.settings.home.name}"
        open_published(place.settings, place.store).copy_out(registration.source_key, to)  # as `get` finds it
        assert (to / "master.m3u8").is_file()
        assert (to / "hls/video/360/init.mp4").is_file()
    in_folder, in_bucket = made.values()
    assert in_folder == in_bucket
    fetched = bucket_house.settings.home / "cache"
    shutil.rmtree(fetched)
    assert nothing_to_make(bucket_house, works_of(declared()), registration.source_key, [*in_bucket, "dossier"])
    assert not fetched.exists() or not list(fetched.rglob("*.*")), "manifests say it; no file need be fetched"


@pytest.mark.browser
def test_a_page_is_shared_by_a_signed_link(bucket_house: House) -> None:
    (registration,) = take_in(bucket_house, corpus_file("video/testsrc.mp4"))
    make(bucket_house, registration, "hls", "proxy", "poster", "scenes", "storyboard", "dossier")
    row = bucket_house.ledger.states(registration.source_key)["dossier"]
    page = bucket_house.store.find("dossier", str(row.recipe_hash))
    assert page is not None
    link = signed_page(bucket_house.store, page, for_s=600)
    assert "X-Amz-Signature" in link
    with browser() as chromium, opened(chromium, link) as found:
        found.until("document.getElementById('player').readyState >= 1")
        assert found.player("duration") > 1
        assert "X-Amz-Signature" in found.player("currentSrc"), "one file, not the ladder"
        assert "hls.min.js" not in found.page.content()
        found.until("[...document.querySelectorAll('#shots img')].every((each) => each.naturalWidth > 0)")
        assert found.page.evaluate("getComputedStyle(document.querySelector('main')).display") != "block"
        assert found.complaints == []


def test_a_page_on_a_disk_cannot_be_shared(house: House) -> None:
    (registration,) = take_in(house, corpus_file("audio/mono.mp3"))
    make(house, registration, "dossier")
    page = house.store.find("dossier", str(house.ledger.states(registration.source_key)["dossier"].recipe_hash))
    assert page is not None
    with pytest.raises(CannotSign, match="on a disk"):
        signed_page(house.store, page, for_s=600)
