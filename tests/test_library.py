"""The library: in a browser as people use it, over HTTP as programs do, and guarded against strangers."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from operations.serve.application import application
from operations.serve.exposure import Unguarded, is_local
from operations.serve.uploads import Refused, Uploads, metadata, safe_name
from resources.house import House
from resources.settings import load_settings
from tests.corpus import corpus_file
from tests.database import database
from tests.house import make, take_in
from tests.pages_trial import SCRIPT_NAME, SIGN, Opened, made_house, opened, serving, sign
from tests.players.harness import browser

pytestmark = pytest.mark.timeout(300)

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
DEADLINE_S = 20


@dataclass
class Library:
    """A library with a sound, a still and a file that is no media; asked without a browser, or in one."""

    house: House
    keys: list[str]
    address: str
    http: httpx2.Client

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(f"{self.address}{path}", headers=headers)

    def post(self, path: str, value: Any = None, **headers: str) -> httpx2.Response:
        return self.http.post(f"{self.address}{path}", json=value, headers=headers)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, ledger_template: str) -> Iterator[Library]:
    work = tmp_path_factory.mktemp("library")
    notes = work / "notes.txt"
    notes.write_text("no media at all")
    files = [corpus_file("speech/jfk.flac"), sign(work), notes]
    with (
        database(postgres_url, ledger_template) as ledger_url,
        made_house(work, ledger_url, *files) as (house, keys),
        serving(house.settings, house) as address,
        httpx2.Client(timeout=DEADLINE_S) as client,
    ):
        yield Library(house, keys, address, client)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@contextmanager
def page_of(library: Library, chromium: Any, path: str, **options: Any) -> Iterator[Opened]:
    with opened(chromium, f"{library.address}{path}", **options) as found:
        yield found


class TestByPrograms:
    def test_sources_are_listed_the_latest_first(self, library: Library) -> None:
        listing = library.get("/api/sources").json()
        assert [each["source"] for each in listing["sources"]] == library.keys[::-1]
        assert listing["next"] is None
        first = library.get("/api/sources?limit=1").json()
        assert first["next"] == library.keys[-1]
        second = library.get(f"/api/sources?limit=1&before={first['next']}").json()
        assert [each["source"] for each in second["sources"]] == [library.keys[1]]
        assert [each["source"] for each in library.get("/api/sources?kind=audio").json()["sources"]] == [
            library.keys[0]
        ]
        refused = library.get("/api/sources?state=quarantined").json()["sources"]
        assert [(each["title"], each["cause"]) for each in refused] == [("notes.txt", "the file is text, not media")]

    def test_a_source_is_told_as_by_the_command(self, library: Library) -> None:
        entry = library.get(f"/api/sources/{library.keys[0]}").json()
        assert entry["state"] == "ready"
        assert entry["assets"]["transcript"]["checks"]
        history = library.get(f"/api/sources/{library.keys[0]}/history").json()
        assert history["events"][-1]["kind"] in {"arrived", "accepted", "registered"}
        assert "No: all" in library.get(f"/api/sources/{library.keys[0]}/explanation").json()["broken"][0]

    def test_words_are_found_with_their_time(self, library: Library) -> None:
        (hit,) = library.get("/api/search?q=country").json()["hits"]
        assert (hit["source"], hit["kind"]) == (library.keys[0], "transcript")
        assert 4 < hit["time_s"] < 7
        assert library.get("/api/search?q=").status_code == 422
        assert "no word" in library.get("/api/search?q=%26").json()["error"]
        assert library.get(f"/api/search?like={library.keys[1]}").json() == {"hits": []}

    def test_a_file_is_submitted_by_its_path_and_known_again(self, library: Library, tmp_path: Path) -> None:
        path = tmp_path / "a tone.txt"
        path.write_text("nothing")
        first = library.post("/api/sources", {"uri": path.as_uri()})
        assert (first.status_code, first.json()["is_new"], first.json()["state"]) == (201, True, "quarantined")
        again = library.post("/api/sources", {"uri": str(path)}).json()
        assert (again["source"], again["is_new"]) == (first.json()["source"], False)
        for uri in ("http://example.org/film.mp4", "film.mp4", str(tmp_path / "none.mp4")):
            assert library.post("/api/sources", {"uri": uri}).status_code == 422

    def test_sources_are_steered(self, library: Library) -> None:
        said = library.post(f"/api/sources/{library.keys[2]}/hurry")
        assert said.status_code == 200
        assert library.keys[2] == said.json()["source"]
        assert library.post(f"/api/sources/{library.keys[2]}/explode").status_code == 422
        assert library.post("/api/sources/nobody/retry").status_code == 404

    def test_parts_of_files_can_be_asked_for(self, library: Library) -> None:
        whole = library.get(f"/s/{library.keys[0]}/media/audio.m4a")
        part = library.get(f"/s/{library.keys[0]}/media/audio.m4a", Range="bytes=10-19")
        assert (whole.status_code, part.status_code) == (200, 206)
        assert part.content == whole.content[10:20]
        assert whole.headers["content-type"] == "audio/mp4"

    @pytest.mark.parametrize(
        "path",
        [
            "/s/{key}/../../../etc/passwd",
            "/s/{key}/%2e%2e/%2e%2e/manifest.json",
            "/s/{key}/media/../manifest.json",
            "/static/..%2f..%2f..%2fpyproject.toml",
            "/s/{key}/nothing",
            "/s/nobody/",
        ],
    )
    def test_nothing_else_is_given(self, library: Library, path: str) -> None:
        connection = http.client.HTTPConnection(library.address.removeprefix("http://"), timeout=DEADLINE_S)
        connection.request("GET", path.format(key=library.keys[0]))
        assert connection.getresponse().status in (404, 405)
        connection.close()

    def test_it_describes_itself(self, library: Library) -> None:
        described = library.get("/openapi.json").json()
        assert {"/api/sources", "/api/search", "/api/sources/{key}/{action}"} <= set(described["paths"])


class TestStrangers:
    def test_another_name_of_this_machine_is_refused(self, library: Library) -> None:
        assert library.get("/", Host="evil.example").status_code == 421
        assert library.get("/", Host="localhost:3001").status_code == 200

    def test_pages_of_others_change_nothing(self, library: Library) -> None:
        path = f"/api/sources/{library.keys[2]}/cancel"
        assert library.post(path, Origin="https://evil.example").status_code == 403
        assert library.post(path, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
        own = library.address.removeprefix("http://")
        assert library.post(f"/api/sources/{library.keys[2]}/hurry", Origin=f"http://{own}").status_code == 200

    def test_it_listens_to_others_only_with_a_token(self, library: Library, tmp_path: Path) -> None:
        home, inbox = str(tmp_path / "home"), str(tmp_path / "in")
        open_ = load_settings(home=home, inbox=inbox, library_host="0.0.0.0")
        with pytest.raises(Unguarded, match="SOURCEBOUND_LIBRARY_TOKEN"):
            application(open_, library.house)
        assert is_local("127.0.0.7")
        assert not is_local("example.org")

    def test_with_a_token_nobody_without_it_is_answered(self, library: Library) -> None:
        token = "a very long secret"
        settings = replace(library.house.settings, library_token=token)
        with serving(settings, library.house) as address, httpx2.Client(timeout=DEADLINE_S) as client:
            assert client.get(f"{address}/api/sources").status_code == 401
            assert client.get(f"{address}/s/{library.keys[0]}/").status_code == 401
            assert client.get(f"{address}/api/sources?token=wrong").status_code == 401
            bearer = {"Authorization": f"Bearer {token}"}
            assert client.get(f"{address}/api/sources", headers=bearer).status_code == 200
            welcomed = client.get(f"{address}/", params={"token": token})
            assert (welcomed.status_code, welcomed.headers["location"]) == (303, "/")
            assert client.get(f"{address}/api/sources").status_code == 200  # the cookie

    def test_the_token_is_not_on_record(self) -> None:
        told = load_settings(library_token="a very long secret").to_record()
        assert "secret" not in json.dumps(told)


def uploaded(library: Library, content: bytes, name: str) -> httpx2.Response:
    named = base64.b64encode(name.encode()).decode()
    headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {named}"}
    return library.http.post(f"{library.address}/uploads", headers=headers)


class TestUploads:
    def test_one_that_is_cut_off_goes_on_where_it_was(self, library: Library) -> None:
        content = os.urandom(3_000_000)
        place = library.address + uploaded(library, content, "../a film.bin").headers["location"]
        host = library.address.removeprefix("http://")
        sent = 0
        for part in (1_000_000, 700_000, 1, 900_000):
            raw = socket.create_connection(host.split(":"), timeout=DEADLINE_S)
            head = f"PATCH {place.removeprefix(library.address)} HTTP/1.1\r\nHost: {host}\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in CHUNK.items()
            )
            head += f"Upload-Offset: {sent}\r\nContent-Length: {len(content) - sent}\r\n\r\n"
            raw.sendall(head.encode() + content[sent : sent + part])
            time.sleep(0.3)
            raw.close()
            ends = time.monotonic() + DEADLINE_S
            while True:
                told = library.http.head(place, headers=TUS)
                if int(told.headers["upload-offset"]) == sent + part:
                    break
                assert time.monotonic() < ends
                time.sleep(0.05)
            sent += part
            assert not (library.house.settings.inbox / "a film.bin").exists(), "half of it is seen"
        rest = library.http.patch(place, headers={**CHUNK, "Upload-Offset": str(sent)}, content=content[sent:])
        assert (rest.status_code, rest.headers["upload-offset"]) == (204, str(len(content)))
        whole = (library.house.settings.inbox / "a film.bin").read_bytes()
        assert hashlib.sha256(whole).digest() == hashlib.sha256(content).digest()
        assert library.http.head(place, headers=TUS).headers["upload-offset"] == str(len(content))

    def test_a_name_that_is_taken_takes_no_place(self, library: Library) -> None:
        for number in (1, 2):
            place = library.address + uploaded(library, b"bytes", "twice.bin").headers["location"]
            library.http.patch(place, headers={**CHUNK, "Upload-Offset": "0"}, content=b"bytes")
            assert (library.house.settings.inbox / ("twice.bin" if number == 1 else "twice (2).bin")).exists()

    def test_what_cannot_be_is_told(self, library: Library) -> None:
        place = library.address + uploaded(library, b"bytes", "x.bin").headers["location"]
        patch = library.http.patch
        assert patch(place, headers={**CHUNK, "Upload-Offset": "3"}, content=b"by").status_code == 409
        assert patch(place, headers={**CHUNK, "Upload-Offset": "0"}, content=b"too much").status_code == 413
        assert patch(place, headers={**TUS, "Upload-Offset": "0"}, content=b"by").status_code == 415
        assert patch(place, headers={"Upload-Offset": "0"}, content=b"by").status_code == 412
        assert library.http.head(f"{library.address}/uploads/{'0' * 32}", headers=TUS).status_code == 404
        huge = {**TUS, "Upload-Length": "9" * 17}
        assert library.http.post(f"{library.address}/uploads", headers=huge).status_code == 507
        assert (
            library.http.post(f"{library.address}/uploads", headers={**TUS, "Upload-Length": "-1"}).status_code == 400
        )

    def test_one_that_nobody_wants_is_forgotten(self, library: Library) -> None:
        place = library.address + uploaded(library, b"bytes", "y.bin").headers["location"]
        assert library.http.delete(place, headers=TUS).status_code == 204
        assert library.http.head(place, headers=TUS).status_code == 404

    def test_a_kill_after_the_last_byte_loses_nothing_and_doubles_nothing(self, tmp_path: Path) -> None:
        uploads = Uploads(tmp_path / "unfinished", tmp_path / "inbox")
        upload = uploads.begin(5, "film.bin")
        upload.part.write_bytes(b"bytes")
        (tmp_path / "inbox").mkdir()
        os.link(upload.part, tmp_path / "inbox" / "film.bin")  # killed between the link and the note
        uploads.hand_over(uploads.find(upload.id))
        uploads.hand_over(uploads.find(upload.id))
        assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["film.bin"]
        assert uploads.find(upload.id).offset == 5

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("film.mp4", "film.mp4"),
            ("../../etc/passwd", "passwd"),
            ("C:\\films\\a.mov", "a.mov"),
            (".hidden.mp4", "hidden.mp4"),
            ("\u202e\0\nodd.mp4", "odd.mp4"),
            ("映画.mp4", "映画.mp4"),
            ("", "upload"),
            ("...", "upload"),
            ("é" * 300 + ".mp4", "é" * 98 + ".mp4"),
        ],
    )
    def test_names_are_those_of_files_in_a_folder(self, said: str, kept: str) -> None:
        assert safe_name(said) == kept

    def test_metadata_is_read_and_nonsense_left_out(self) -> None:
        assert metadata("filename ZmlsbQ==,type dmlkZW8=,odd !!,") == {"filename": "film", "type": "video", "": ""}

    def test_without_room_it_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="more than the disk has room for"):
            Uploads(tmp_path, tmp_path / "in").begin(10**17, "x")


@pytest.mark.browser
class TestByPeople:
    def test_the_wall_shows_every_source_with_its_state(self, library: Library, chromium: Any) -> None:
        with page_of(library, chromium, "/") as found:
            found.until("document.querySelectorAll('#wall li').length >= 3")
            said = found.page.inner_text("#wall")
            assert SCRIPT_NAME in said
            assert "the file is text, not media" in said
            assert found.page.locator("#wall img").count() >= 2
            assert found.complaints == []
            found.page.click(f"#wall li[data-source='{library.keys[0]}'] h2 a")
            assert found.page.url.endswith(f"/s/{library.keys[0]}/")

    def test_a_hit_opens_the_page_at_its_time(self, library: Library, chromium: Any) -> None:
        with page_of(library, chromium, "/") as found:
            found.page.fill("#q", "country")
            found.page.press("#q", "Enter")
            found.until("document.querySelectorAll('#hits a').length === 1")
            found.page.click("#hits a")
            found.until("(document.getElementById('player') || {}).currentTime > 4")
            assert found.complaints == []

    def test_the_page_explains_itself_in_the_library(self, library: Library, chromium: Any) -> None:
        with page_of(library, chromium, f"/s/{library.keys[0]}/") as found:
            found.until("!document.getElementById('explained').hidden")
            assert "No: all" in found.page.inner_text("#explained")
            found.page.click("#library a[href='about']")
            assert "History" in found.page.inner_text("main")

    def test_a_file_is_uploaded_by_choosing_it(self, library: Library, chromium: Any, tmp_path: Path) -> None:
        path = tmp_path / "chosen.bin"
        path.write_bytes(os.urandom(200_000))
        with page_of(library, chromium, "/") as found:
            found.page.set_input_files("#files", str(path))
            found.until("document.getElementById('uploads').textContent.includes('arrived')")
            assert (library.house.settings.inbox / "chosen.bin").read_bytes() == path.read_bytes()
            assert found.complaints == []

    def test_what_is_not_there_and_what_was_refused_have_pages(self, library: Library, chromium: Any) -> None:
        with page_of(library, chromium, "/s/nobody/") as found:
            assert "No source is called nobody" in found.page.inner_text("h1")
        with page_of(library, chromium, f"/s/{library.keys[2]}/") as found:
            assert "the file is text, not media" in found.page.inner_text("main")
            found.page.click("[data-action='retry']")
            found.until("document.getElementById('said').textContent.length > 3")

    @pytest.mark.parametrize("path", ["/", "/?q=country", "/?q=%26", "/s/{still}/about", "/s/{none}/", "/s/nobody/"])
    def test_nothing_keeps_anybody_out(self, library: Library, chromium: Any, path: str) -> None:
        where = path.format(still=library.keys[1], none=library.keys[2])
        for viewport in ({"width": 1280, "height": 900}, {"width": 390, "height": 844}):
            with page_of(library, chromium, where, viewport=viewport) as found:
                found.page.wait_for_timeout(500)
                assert found.violations() == []
                assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_made_while_somebody_looks_is_shown(library: Library, chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "later.txt"
    path.write_text(SIGN)
    with page_of(library, chromium, "/") as found:
        found.until("document.querySelectorAll('#wall li').length >= 3")
        (registration,) = take_in(library.house, path)
        make(library.house, registration)
        found.until(f"!!document.querySelector('li[data-source=\"{registration.source_key}\"]')")


class TestCorrecting:
    """The words of the sound, by HTTP and in the page."""

    def test_words_are_given_with_their_times_and_a_correction_is_taken(self, library: Library) -> None:
        address = f"/api/sources/{library.keys[0]}/words/transcript"
        words = library.get(address).json()
        assert words["review"] == "unreviewed"
        assert words["places"][0]["end_s"] > words["places"][0]["start_s"]
        refused = library.post(address, {"author": "Ann", "version": 0, "texts": {"9/9": "x"}})
        assert (refused.status_code, "no place 9/9" in refused.json()["error"]) == (422, True)
        assert library.post(address, {"author": "", "version": 0}).status_code == 422
        assert library.get(f"/api/sources/{library.keys[1]}/words/transcript").status_code == 409
        assert library.get("/api/sources/nobody/words/transcript").status_code == 404

    @pytest.mark.browser
    def test_a_person_corrects_in_the_page_and_is_shown_the_new_one(self, library: Library, chromium: Any) -> None:
        with page_of(library, chromium, f"/s/{library.keys[0]}/") as found:
            page = found.page
            page.wait_for_selector("text=Correct the transcript").click()
            page.wait_for_selector("form.correct textarea")
            assert found.violations() == []
            page.keyboard.type("Ann Lee")  # the name has the focus
            page.fill("form.correct textarea >> nth=0", "My <b>fellow</b> zeppelins")
            page.click("text=Save corrections")
            found.until("document.querySelector('.review p').textContent.includes('1 place corrected')")
            assert page.evaluate("document.activeElement.textContent") == "Correct the transcript"
            make(library.house, *take_in(library.house, corpus_file("speech/jfk.flac")))
            page.wait_for_selector("text=Show the new page").click()
            found.until("document.getElementById('transcript-text').textContent.includes('zeppelins')")
            assert "corrected, reviewed by Ann Lee" in page.inner_text("main")
            page.wait_for_selector("text=Correct the transcript").click()
            page.wait_for_selector("form.correct textarea")
            assert page.input_value("form.correct input") == "Ann Lee"
            assert "Ann Lee corrected:" in page.inner_text("form.correct")
            assert found.complaints == []
