"""What a person does in the UI with real sources: the artifacts are those the sensor's runs made, nothing twice.

`sourcebound up` with its daemon, web server and database. Orders go through GraphQL, once through the pages themselves.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from resources import run_tags
from resources.identity import Identity
from tests.factory import Factory, factory  # noqa: F401 - a fixture
from tests.media import make_still, make_video
from tests.players.harness import browser
from tests.ui import Ui, wait_for

FILM, CUT = "film.mp4", "cut.jpg"
PAGE_MS = 30_000
SENTENCE = "the picture is cut off; send it again from the original"


@pytest.fixture(scope="module")
def busy(factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Factory:  # noqa: F811
    """The factory after the sensor's runs of a film and of a picture that is cut off."""
    folder = tmp_path_factory.mktemp("files")
    make_video(folder / FILM, frames=50, width=320, height=180, audio_rate_hz=48_000)
    make_still(folder / "whole.jpg", width=800, height=600, image_format="JPEG")
    (folder / CUT).write_bytes((folder / "whole.jpg").read_bytes()[:4000])
    factory.drop(folder / FILM, folder / CUT)
    assert set(factory.states(factory.source(FILM)).values()) <= {"ready", "not_applicable"}
    return factory


@pytest.mark.timeout(400)
def test_one_asset_of_one_source_comes_out_as_the_sensors_run_made_it(busy: Factory) -> None:
    """First found, then made again after its artifact is gone: same recipe, same bytes, and no frame encoded again."""
    ui, film = busy.ui, busy.source(FILM)
    by_sensor, calls = ui.made("poster")[film], busy.encoder_calls()
    chunks = ui.made("chunks")[film]
    for gone in (False, True):
        if gone:
            shutil.rmtree(busy.artifact("poster", by_sensor.recipe))
        run_id = ui.materialize("poster", film)
        ui.until(run_id, "SUCCESS")
        by_hand = ui.made("poster")[film]
        assert by_hand.run_id == run_id
        assert (by_hand.recipe, by_hand.data_version) == (by_sensor.recipe, by_sensor.data_version)
        assert ui.steps(run_id) == {"poster"}
    assert busy.artifact("poster", by_sensor.recipe).is_dir()
    assert ui.made("chunks")[film] == chunks
    assert busy.encoder_calls() == calls
    assert set(busy.states(film).values()) <= {"ready", "not_applicable"}
    (check, *_) = [one["evaluation"] for one in ui.checks("poster") if one["status"] == "SUCCEEDED"]
    assert check["partition"] == film
    assert {entry["label"] for entry in check["metadataEntries"]} == {"clauses", "verdicts"}


@pytest.mark.timeout(400)
def test_a_failed_run_is_run_again_and_says_its_one_sentence(busy: Factory) -> None:
    ui, cut = busy.ui, busy.source(CUT)
    (*_, failed) = ui.runs_of(cut, "FAILURE")
    before = busy.states(cut)
    again = ui.reexecute(failed)
    ui.until(again, "FAILURE")
    assert ui.steps(again) == {"media_info"}, "what had succeeded is not done again"
    for run_id in (failed, again):
        events = {event["__typename"]: event for event in ui.events(run_id)}
        step, run = events["ExecutionStepFailureEvent"], events["RunFailureEvent"]
        assert step["failureMetadata"]["description"] == SENTENCE
        for event in (step, run):
            assert event["error"] == {"message": SENTENCE, "stack": []}, "no frames of Dagster's own above the cause"
    assert busy.states(cut) == before


def shown_pictures(page: Any) -> list[int]:
    """The widths of the pictures that the page shows out of its own text."""
    page.wait_for_selector("img[src^='data:image/']", timeout=PAGE_MS)
    return list(page.evaluate("[...document.querySelectorAll('img[src^=\"data:image/\"]')].map(i => i.naturalWidth)"))


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_person_sees_pictures_tables_and_causes_and_starts_runs_with_the_mouse(busy: Factory, tmp_path: Path) -> None:
    """What it looked like is left in the test's folder: poster.png, waveform.png, contract.png, cut.png."""
    ui, film, cut = busy.ui, busy.source(FILM), busy.source(CUT)
    address = f"http://127.0.0.1:{ui.port}"
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(PAGE_MS)
        for asset, table in (("waveform", "tracks"), ("poster", "facts")):
            page.goto(f"{address}/assets/{asset}?view=partitions&partition={film}")
            assert all(width > 0 for width in shown_pictures(page))
            labels = page.locator("td:has(+ td)").all_inner_texts()
            assert labels[0] == "picture", labels
            assert labels.index(table) < labels.index("recipe"), labels
            page.screenshot(path=tmp_path / f"{asset}.png")

        before = ui.runs_of(film)
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_role("button", name="Launch 1 run").click()
        wait_for(lambda: len(ui.runs_of(film)) > len(before))
        ui.until(ui.runs_of(film)[0], "SUCCESS")

        page.goto(f"{address}/assets/poster?view=checks")
        page.get_by_text("Partitions", exact=True).nth(1).click()  # the first is the asset's
        page.get_by_text("Select a partition to view details").wait_for()
        page.get_by_text(film).locator("visible=true").last.click()  # in the list, below those chosen for it
        page.get_by_text("poster.jpg has its size").wait_for()
        page.screenshot(path=tmp_path / "contract.png")

        (failed, *_) = ui.runs_of(cut, "FAILURE")
        page.goto(f"{address}/runs/{failed}")
        page.get_by_text(SENTENCE).first.wait_for()
        page.get_by_role("button", name=re.compile("^Re-execute")).first.click()  # all, or from failure after that
        page.wait_for_url(lambda url: failed not in url)
        ui.until(page.url.rpartition("/")[2].partition("?")[0], "FAILURE")
        page.get_by_text(SENTENCE).first.wait_for()
        assert "site-packages" not in page.content()
        page.screenshot(path=tmp_path / "cut.png")


def killed_run(ui: Ui, source: str) -> str:
    """Kill the process of the source's run, and wait until it is known."""
    wait_for(lambda: ui.runs_of(source, "STARTED"))
    (run_id,) = ui.runs_of(source, "STARTED")
    worker = Identity.from_text(ui.tags(run_id)[run_tags.WORKER])
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: ui.status(run_id) == "FAILURE")
    return run_id


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_was_killed_is_run_again_by_hand_and_finds_what_the_sensors_next_run_made(
    busy: Factory, tmp_path: Path
) -> None:
    ui = busy.ui
    make_video(tmp_path / "long.mp4", frames=600, width=640, height=360)
    shutil.copyfile(tmp_path / "long.mp4", busy.site.settings.inbox / "long.mp4")
    wait_for(lambda: busy.site.ask("SELECT 1 FROM ledger.sources WHERE location LIKE '%/long.mp4'"), 60)
    source = busy.source("long.mp4")
    dead = killed_run(ui, source)
    wait_for(lambda: set(busy.states(source).values()) <= {"ready", "not_applicable"}, 180)
    made = {asset: ui.made(asset)[source] for asset in ("chunks", "hls", "poster", "release")}
    calls = busy.encoder_calls()
    again = ui.reexecute(dead, "ALL_STEPS")
    ui.until(again, "SUCCESS", 120)
    for asset, before in made.items():
        now = ui.made(asset)[source]
        assert now.run_id == again
        assert (now.recipe, now.data_version) == (before.recipe, before.data_version)
    assert busy.encoder_calls() == calls


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_sources_are_backfilled_and_nothing_is_made_again(busy: Factory, tmp_path: Path) -> None:
    ui = busy.ui
    files = [tmp_path / f"still-{number}.png" for number in range(9)]
    for number, file in enumerate(files):
        make_still(file, width=400 + number, height=300)
    busy.drop(*files)
    sources = [busy.source(file.name) for file in files] + [busy.source(FILM)]
    assets = ("source", "media_info", "release")
    before = {asset: ui.made(asset) for asset in assets}
    calls, attempts = busy.encoder_calls(), busy.site.ask("SELECT count(*) FROM ledger.attempts")
    backfill = ui.backfill(assets, sources)
    wait_for(lambda: ui.backfill_is_complete(backfill), 300)
    for asset in assets:
        now = ui.made(asset)
        for source in sources:
            old = before[asset][source]
            assert now[source].run_id != old.run_id
            assert (now[source].recipe, now[source].data_version) == (old.recipe, old.data_version)
    assert busy.encoder_calls() == calls
    assert busy.site.ask("SELECT count(*) FROM ledger.attempts") == attempts
