"""What the page of a source must be: whole, self-contained, and about what is there.

Belongs here: reading the page as a browser's parser would, and the looks at it. Does not belong here: how it is made
(processing/pages), or how it behaves, which is tested in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from processing.contracts.clauses import expect, failed, none_against, passed
from processing.manifest import Verdict
from processing.pages.dossier_plan import PAGE
from processing.pages.told import links_of, told_of
from processing.work import Input, Task

MOST_BYTES = 4_000_000  # without media: an hour weighs below one million, six with subtitles in many languages more
REFERS = {"src", "href", "poster"}
IN_THE_LIBRARY = ("/", "about")  # shown where the library serves the page


class Reading(HTMLParser):
    """What a page refers to, what its scripts are, its data and its title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.refers: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.data = ""
        self.title = ""
        self._within = ""
        self._has_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.refers += [value for name, value in attrs if name in REFERS and value]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "script":
            self.scripts.append(given)
        self._within = "data" if given.get("id") == "data" else tag
        if tag == "body":
            self._has_body = True  # from there on a title is that of a picture

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "data":
            self.data += data
        elif self._within == "title" and not self._has_body:
            self.title += data


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the page cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a page needs what was made")
    try:
        page = Reading()
        page.feed(made.path(PAGE).read_text(encoding="utf-8"))
        page.close()
        told = json.loads(page.data)
    except (KeyError, OSError, UnicodeDecodeError, ValueError) as error:
        return [failed("page readable", f"{type(error).__name__}: {error}", "HTML with its data")]
    links, there = made.facts["links"], links_of(task.inputs)
    bytes_ = sum(entry.bytes for entry in made.files)
    return [
        passed("page readable", f"{len(page.refers)} references"),
        none_against("nothing leads out", _leading_out(page.refers)),
        none_against("every reference is there", _missing([*page.refers, *_media(told)], made, links)),
        none_against("no script but its own", _strange(page)),
        none_against("each id is one", (name for name in set(page.ids) if page.ids.count(name) > 1)),
        expect("links are what there is", links == there, len(links), len(there)),
        expect("data is what there is", told == told_of(task.inputs, task.parameters["rules"])),
        none_against("every asset is told", _untold(page.ids, task.parameters["record"])),
        none_against("times lie inside the media", _times(told)),
        expect("weighs little", bytes_ <= MOST_BYTES, f"{bytes_} bytes", f"{MOST_BYTES} at most"),
        expect("has a title", bool(page.title.strip()), page.title),
    ]


def _leading_out(refers: Sequence[str]) -> Iterable[str]:
    for refer in refers:
        if refer in IN_THE_LIBRARY:
            continue
        parts = urlsplit(refer)
        if (parts.scheme and parts.scheme != "data") or parts.netloc or refer.startswith(("/", "..")):
            yield refer[:100]


def _missing(refers: Iterable[str], made: Input, links: Any) -> Iterable[str]:
    files = {entry.path for entry in made.files}
    folders = tuple(f"{name}/" for name, link in links.items() if not link["path"])
    for refer in refers:
        is_other = refer.startswith(("#", "data:")) or refer in IN_THE_LIBRARY
        if not is_other and refer not in files and refer not in links and not refer.startswith(folders):
            yield refer[:100]


def _media(told: Any) -> list[str]:
    play = told["play"]
    named = [play["hls"], play["file"], play["poster"], play["still"], *play["sound"]]
    named += [told["shots"]["folder"] + still for _, _, still in told["shots"]["list"] if still]
    named += [sheet["file"] for sheet in (told["storyboard"] or {"sheets": []})["sheets"]]
    return [name for name in named if name]


def _strange(page: Reading) -> Iterable[str]:
    yield from page.handlers
    for script in page.scripts:
        if not script.get("src") and script.get("type") != "application/json":
            yield "a script in the page itself"


def _untold(ids: Sequence[str], record: Sequence[Any]) -> Iterable[str]:
    return (str(row["asset"]) for row in record if f"asset-{row['asset']}" not in ids)


def _times(told: Any) -> Iterable[str]:
    """Spans are in order and begin inside; what ends a frame behind the end is the players' to cut."""
    end = told["duration_ms"]
    spans = [(start, stop) for start, stop, _ in told["shots"]["list"]]
    spans += [(start, stop) for track in told["transcript"] for start, stop, *_ in track["segments"]]
    spans += [(start, stop) for text in told["texts"] for start, stop, _ in text["cues"]]
    spans += [(each["start"], each["end"]) for each in (told["summary"] or {"chapters": []})["chapters"]]
    for start, stop in spans:
        if stop < start or start < 0 or (end is not None and start > end + 1000):
            yield f"{start} to {stop} of {end} ms"
