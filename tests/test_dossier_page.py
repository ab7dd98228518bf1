"""The page of a source in a real browser: it plays, follows, seeks, explains itself, and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from processing.contracts.dossier import contract
from processing.manifest import Outcome
from processing.pages import dossier, dossier_plan
from processing.work import Task
from resources.house import House
from tests.corpus import corpus_file
from tests.database import database
from tests.media import BITS, as_input
from tests.pages_trial import FRAMES, RATE, SCRIPT_NAME, SIGN, Opened, film, laid_out, made_house, opened, sign
from tests.players.harness import browser, installed_players, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HERE = Path(__file__).parents[1]


@dataclass
class Site:
    """All pages: the address they are served below, the folder they lie in, and Chromium."""

    address: str
    folder: Path
    misses: list[str]
    chromium: Any
    film: Task

    def open(self, name: str, *, served: bool = True, **options: Any) -> Any:
        where = f"{self.address}/media/{name}" if served else (self.folder / name).as_uri()
        return opened(self.chromium, f"{where}/index.html", **({"viewport": WIDE} | options))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, ledger_template: str) -> Iterator[Site]:
    work, pages = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("pages")
    files = [film(work), corpus_file("speech/jfk.flac"), sign(work)]
    with (
        database(postgres_url, ledger_template) as ledger_url,
        made_house(work, ledger_url, *files) as (house, keys),
    ):
        for name, key in zip(("film", "sound", "still"), keys, strict=True):
            laid_out(house, key, pages / name)
        task = page_task(house, keys[0])
    with served(pages) as (address, misses), browser() as chromium:
        yield Site(address, pages, misses, chromium, task)
        assert [miss for miss in misses if "favicon" not in miss] == []


def page_task(house: House, key: str) -> Task:
    """The task by which a source's page was made."""
    page = house.store.find("dossier", str(house.ledger.states(key)["dossier"].recipe_hash))
    assert page is not None
    inputs = {}
    for name, digest in page.made_of.items():
        made = house.store.find("soundtrack" if name.startswith("aac/") else name, digest)
        assert made is not None, name
        inputs[name] = house.store.as_input(made, name)
    return Task("", page.recipe["parameters"], Path(), inputs=inputs)


@pytest.mark.parametrize("missing", [*dossier_plan.TOLD_OF, "all"])
def test_whatever_could_not_be_made_there_is_a_page(site: Site, tmp_path: Path, missing: str) -> None:
    inputs = {name: item for name, item in site.film.inputs.items() if name != missing}
    if missing == "all":
        inputs = {"media_info": site.film.inputs["media_info"]}
    task = replace(site.film, scratch=tmp_path, inputs=inputs)
    made = as_input("dossier", task.out, dossier.make(task).facts)
    assert [verdict for verdict in contract(replace(task, made=made)) if verdict.outcome is not Outcome.PASSED] == []


@pytest.mark.parametrize("missing", ["hls", "proxy", "scenes", "transcript"])
def test_a_page_without_it_stands(site: Site, tmp_path: Path, missing: str) -> None:
    inputs = {name: item for name, item in site.film.inputs.items() if name != missing}
    task = replace(site.film, scratch=tmp_path, inputs=inputs)
    dossier.make(task)
    with served(task.out) as (address, _), opened(site.chromium, f"{address}/media/index.html") as found:
        found.page.wait_for_timeout(300)
        assert [each for each in found.complaints if "404" not in each] == [], "its media are not laid out here"
        assert found.violations() == []


def ready(found: Opened) -> None:
    found.until("document.getElementById('player').readyState >= 2")


@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize("name", ["film", "sound"])
def test_it_plays_without_a_complaint(site: Site, name: str, served: bool) -> None:
    with site.open(name, served=served) as found:
        ready(found)
        found.player("play()")
        found.until("document.getElementById('player').currentTime > 1")
        assert found.complaints == []
        assert found.player("currentSrc").startswith("blob:" if served else "file:")


def test_captions_show_what_is_said(site: Site) -> None:
    with site.open("film", served=False) as found:
        ready(found)
        assert found.player("textTracks.length") == 1
        assert "Automatic" in found.page.inner_text("#text-track")
        found.page.select_option("#text-track", label="Automatic (en)")
        found.page.evaluate("document.getElementById('player').currentTime = 6.5")
        found.until("document.getElementById('player').textTracks[0].activeCues.length > 0")
        assert "country" in found.player("textTracks[0].activeCues[0].text")


def test_the_preview_shows_the_picture_of_that_time(site: Site) -> None:
    """Pictures carry their numbers in their top rows, and the preview is read as a viewer sees it."""
    with site.open("film") as found:
        ready(found)
        box = found.page.locator("#timeline").bounding_box()
        length_s = FRAMES / RATE
        for at_s in (0.5, 4.2, 8.7, 11.5):
            found.page.mouse.move(box["x"] + box["width"] * at_s / length_s, box["y"] + box["height"] / 2)
            found.page.wait_for_selector("#peek .still", state="visible")
            number = found.page.evaluate(PREVIEWED, BITS)
            assert abs(number / RATE - at_s) <= 1.0, f"{number} at {at_s} s"


PREVIEWED = """async (bits) => {
  const still = document.querySelector('#peek .still');
  const style = getComputedStyle(still);
  const sheet = new Image();
  sheet.src = style.backgroundImage.slice(5, -2);
  await sheet.decode();
  const shown = parseFloat(style.backgroundSize) / sheet.naturalWidth;
  const [left, top] = style.backgroundPosition.split(' ').map((each) => -parseFloat(each) / shown);
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [still.offsetWidth / shown, still.offsetHeight / shown];
  const pen = canvas.getContext('2d');
  pen.drawImage(sheet, -left, -top);
  const bar = canvas.width / bits;
  let number = 0;
  for (let bit = 0; bit < bits; bit++) {
    const [red] = pen.getImageData((bit + 0.5) * bar, canvas.height / 12, 1, 1).data;
    if (red > 125) number += 2 ** bit;
  }
  return number;
}"""


def test_a_word_seeks_to_where_it_is_said_and_is_marked_there(site: Site) -> None:
    with site.open("film") as found:
        ready(found)
        words = found.page.locator("#transcript-text .word")
        for text in ("country", "not"):
            word = words.filter(has_text=text).first
            word.click()
            at_s = int(word.get_attribute("data-at")) / 1000
            assert abs(found.player("currentTime") - at_s) <= 0.3
            found.until(f"document.querySelector('.word.now')?.textContent === '{text}'")


def test_a_link_to_a_time_opens_there(site: Site) -> None:
    with site.open("film") as found:
        ready(found)
        found.page.evaluate("location.hash = '#t=7.5'")
        found.until("Math.abs(document.getElementById('player').currentTime - 7.5) < 0.1")


def test_the_keyboard_alone_suffices(site: Site) -> None:
    with site.open("film") as found:
        ready(found)
        press = found.page.keyboard.press
        seen: list[str] = []
        for _ in range(40):
            press("Tab")
            seen.append(found.page.evaluate("document.activeElement.id || document.activeElement.className"))
            if seen[-1] == "timeline":
                break
        assert {"skip", "player", "text-track", "follow"} <= set(seen)
        assert seen[-1] == "timeline"
        press("ArrowRight")
        assert found.player("currentTime") == pytest.approx(5, abs=0.1)
        press("Home")
        press("Space")
        found.until("!document.getElementById('player').paused")
        press("Space")
        assert found.player("paused")
        found.page.locator("#shots button").first.focus()
        press("Enter")
        assert found.player("currentTime") == pytest.approx(0, abs=0.1)
        found.page.locator("#transcript-text .time").last.focus()
        press("Enter")
        assert found.player("currentTime") > 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["film", "sound", "still"])
def test_nothing_keeps_anybody_out(site: Site, name: str, viewport: dict[str, int], scheme: str) -> None:
    with site.open(name, viewport=viewport, color_scheme=scheme) as found:
        found.page.wait_for_load_state("networkidle")
        assert found.violations() == []
        assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"


def test_a_name_that_is_a_script_stays_text(site: Site) -> None:
    with site.open("still") as found:
        assert found.page.inner_text("h1") == SCRIPT_NAME
        assert found.page.title() == SCRIPT_NAME
        assert found.page.locator("h1 img").count() == 0
        assert found.complaints == []


def test_boxes_are_drawn_around_the_text_of_a_still(site: Site) -> None:
    with site.open("still") as found:
        assert SIGN.split()[0] in found.page.inner_text("#screen-text")
        found.page.check("#show-boxes")
        assert found.page.locator("#boxes polygon").count() == 1
        found.page.uncheck("#show-boxes")
        assert found.page.locator("#boxes polygon").count() == 0


def test_it_says_what_a_machine_made_and_what_nobody_reviewed(site: Site) -> None:
    with site.open("film") as found:
        said = found.page.inner_text("section:has(#transcript-title)")
        assert "Made by a machine (pocketsphinx-en-us 5.1.1), unreviewed." in said


def test_the_player_is_the_released_one() -> None:
    ours = HERE / "processing" / "pages" / "static" / "hls.min.js"
    assert ours.read_bytes() == (installed_players() / "hls.js" / "dist" / "hls.min.js").read_bytes()
