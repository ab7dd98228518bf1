"""Arrivals become sources: at least once, in any order, with one result."""

import random
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.ledger.keys import as_named, as_stored, source_key
from resources.ledger.ledger import Ledger
from resources.ledger.moves import UnknownSource
from resources.ledger.rows import Arrival, Incoming
from resources.ledger.states import AssetState
from tests.database import database, execute

START = datetime(2026, 1, 1, tzinfo=UTC)
ASSETS = ("source", "media_info", "hls")


def incoming(content, *, at=0, location="/in/film.mp4", **said):
    seen_at = None if at is None else START + timedelta(seconds=at)
    arrival = Arrival(location=location, size_bytes=len(content), mtime_ns=7, actor="test", seen_at=seen_at)
    return Incoming(arrival=arrival, content=content, job="video", assets=said.pop("assets", ASSETS), **said)


def told(ledger, *items):
    return [ledger.register_many([item])[0] for item in items]


def states(ledger, key):
    return {name: row.state.value for name, row in ledger.states(key).items()}


def all_are(state):
    return dict.fromkeys(ASSETS, state)


def test_a_file_becomes_a_source_with_registered_assets_in_their_order(ledger):
    (made,) = told(ledger, incoming("aa", title="T", language="de", tags=("x", "y"), options={"ladder": [720]}))
    assert made.is_new
    assert made.source_key == source_key("/in/film.mp4", "aa")
    row = ledger.source(made.source_key)
    assert (row.location, row.content, row.title, row.language, row.tags) == (
        "/in/film.mp4",
        "aa",
        "T",
        "de",
        ("x", "y"),
    )
    assert (row.options, row.arrival_id, row.is_head, row.generation) == ({"ladder": [720]}, made.arrival_id, True, 1)
    assert list(ledger.states(made.source_key)) == list(ASSETS)
    assert states(ledger, made.source_key) == all_are("registered")


def test_a_hundred_duplicates_make_one_source(ledger, ledger_url):
    results = told(ledger, *[incoming("aa")] * 50) + ledger.register_many([incoming("aa")] * 50)
    assert len({result.source_key for result in results}) == 1
    assert [result.is_new for result in results].count(True) == 1
    assert execute(
        ledger_url, "SELECT (SELECT count(*) FROM ledger.arrivals), (SELECT count(*) FROM ledger.sources)"
    ) == [(1, 1)]
    assert execute(ledger_url, "SELECT count(*) FROM ledger.transitions") == [(3,)]


def test_new_bytes_at_a_path_supersede_what_was_there(ledger, ledger_url):
    first, second = told(ledger, incoming("aa"), incoming("bb", at=1))
    assert second.is_new
    assert second.supersedes == first.source_key
    assert (first.generation, second.generation) == (1, 2)
    assert states(ledger, first.source_key) == all_are("superseded")
    assert states(ledger, second.source_key) == all_are("registered")
    assert not ledger.source(first.source_key).is_head
    decided = execute(ledger_url, "SELECT kind, source, payload ->> 'by' FROM ledger.decisions ORDER BY seq")
    assert decided == [
        ("accepted", first.source_key, None),
        ("superseded", first.source_key, second.source_key),
    ]


def test_what_is_seen_now_is_the_newest_also_where_the_clock_was_set_back(ledger):
    """A file that came in while the clock was an hour ahead kept every later one from its place."""
    ahead = (datetime.now(UTC) - START).total_seconds() + 3600
    (first,) = told(ledger, incoming("aa", at=ahead))
    second, third = told(ledger, incoming("bb", at=None), incoming("cc", at=None))
    assert (second.supersedes, third.supersedes) == (first.source_key, second.source_key)
    assert states(ledger, third.source_key) == all_are("registered")
    assert ledger.source(third.source_key).is_head


def test_bytes_that_come_back_are_the_head_again_and_are_made_again(ledger):
    first, second, third = told(ledger, incoming("aa"), incoming("bb", at=1), incoming("aa", at=2))
    assert third.source_key == first.source_key
    assert (third.is_new, third.supersedes, third.generation) == (False, second.source_key, 3)
    assert ledger.source(first.source_key).is_head
    assert states(ledger, first.source_key) == all_are("registered")
    assert states(ledger, second.source_key) == all_are("superseded")


def test_the_same_bytes_elsewhere_are_another_source_of_the_same_content(ledger):
    first, second = told(ledger, incoming("aa"), incoming("aa", location="/in/copy.mp4"))
    assert first.source_key != second.source_key
    assert second.supersedes is None
    assert [row.key for row in ledger.sources(content="aa")] == [first.source_key, second.source_key]


def test_a_late_event_does_not_push_the_newer_file_aside(ledger):
    newer, older = told(ledger, incoming("bb", at=5), incoming("aa", at=1))
    assert older.is_new
    assert older.supersedes is None
    assert states(ledger, newer.source_key) == all_are("registered")
    assert states(ledger, older.source_key) == all_are("superseded")
    assert ledger.known_files("/in/")["/in/film.mp4"].source_key == newer.source_key


def test_any_order_and_repetition_of_the_same_events_ends_the_same(postgres_url, ledger_template):
    """Two places, contents that come back, told in lots of any size: what is at the head never depends on it."""
    events = [incoming(content, at=at) for at, content in enumerate(["aa", "bb", "aa", "cc", "bb"])]
    events += [incoming(content, at=at, location="/in/other.mov") for at, content in enumerate(["aa", "dd"])]
    outcomes = set()
    for seed in range(8):
        chance = random.Random(seed)
        order = [event for event in events for _ in range(chance.randint(1, 4))]
        if seed:
            chance.shuffle(order)
        with database(postgres_url, ledger_template) as url:
            ledger = Ledger.open(url)
            while order:
                lot = chance.randint(1, len(order))
                ledger.register_many(order[:lot])
                del order[:lot]
            rows = ledger.sources()
            outcomes.add(frozenset((row.key, row.is_head, *states(ledger, row.key).values()) for row in rows))
            ledger.close()
    assert len(outcomes) == 1
    assert len(next(iter(outcomes))) == 5


def test_something_else_said_about_a_file_has_its_outputs_looked_at_again(ledger):
    (made,) = told(ledger, incoming("aa", options={"ladder": [720]}))
    for asset in ("source", "hls"):
        ledger.move(made.source_key, asset, AssetState.READY, actor="test", recipe_hash=asset)
    told(ledger, incoming("aa", at=1, options={"ladder": [720]}))
    assert states(ledger, made.source_key)["hls"] == "ready"
    told(ledger, incoming("aa", at=2, options={"ladder": [720, 360]}, assets=(*ASSETS, "poster")))
    assert states(ledger, made.source_key) == {**all_are("registered"), "poster": "registered"}
    assert ledger.source(made.source_key).options == {"ladder": [720, 360]}
    assert ledger.states(made.source_key)["hls"].recipe_hash == "hls"


def test_a_failing_lot_leaves_nothing(ledger, ledger_url):
    bad = incoming("bb", options={"x": object()}, location="/in/b")
    with pytest.raises(TypeError):
        ledger.register_many([incoming("aa"), bad])
    assert execute(ledger_url, "SELECT count(*) FROM ledger.arrivals") == [(0,)]


def test_a_time_without_a_zone_is_refused(ledger):
    arrival = Arrival(location="/a", size_bytes=1, mtime_ns=1, actor="t", seen_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        ledger.register(arrival, content="aa", job="video", assets=ASSETS)


def test_ten_arrivals_take_few_statements(ledger):
    from sqlalchemy import event

    count = 0

    def counted(*_):
        nonlocal count
        count += 1

    event.listen(ledger._engine, "before_cursor_execute", counted)
    ledger.register_many([incoming("aa", location=f"/in/{n}") for n in range(10)])
    assert count <= 8


@pytest.mark.parametrize(
    "name", ["späť 映画.mov", "a\nb'\"; DROP.mp4", "x" * 251 + ".mp4", "\udcff\udc80bytes.mp4", "\U0010dcff.mp4"]
)
def test_a_file_of_any_name_is_found_again_under_it(ledger, name):
    """Names that are no UTF-8 arrive with lone surrogates, which PostgreSQL refuses."""
    location = f"/in/{name}"
    (made,) = told(ledger, incoming("aa", location=location))
    if name != "\U0010dcff.mp4":  # the one plane of private letters that stands for such bytes
        assert ledger.source(made.source_key).location == location
        assert list(ledger.known_files("/in/")) == [location]
    assert made.source_key.replace("-", "").isalnum()
    assert made.source_key.isascii()
    assert ledger.find_sources("nothing", location=location)[0].key == made.source_key


@given(st.text(alphabet=st.characters(exclude_categories=["Co"], exclude_characters="\0")))
def test_any_text_that_is_stored_comes_back(text):
    as_stored(text).encode("utf-8")
    if not any(unicodedata.category(letter) == "Cs" and not "\udc80" <= letter <= "\udcff" for letter in text):
        assert as_named(as_stored(text)) == text


@given(st.text(), st.text(min_size=1))
def test_a_key_is_short_and_says_no_path(location, content):
    key = source_key(location, content)
    assert len(key) <= 43
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not key.startswith("-")


def test_a_key_depends_on_place_and_content_only():
    assert source_key("/in/A Film.mp4", "aa") == source_key("/in/A Film.mp4", "aa")
    assert source_key("/in/A Film.mp4", "aa").startswith("a-film-")
    keys = {source_key(place, content) for place in ("/a/f", "/b/f") for content in ("aa", "bb")}
    assert len(keys) == 4
    assert source_key("ab", "c") != source_key("a", "bc")


def test_a_source_nobody_knows_is_said_so(ledger):
    with pytest.raises(UnknownSource):
        ledger.source("nothing")
    assert ledger.states("nothing") == {}
    assert ledger.find_sources("nothing") == []


def test_a_source_is_found_by_its_key_its_beginning_and_its_file(ledger):
    first, second = told(ledger, incoming("aa"), incoming("bb", at=1))
    other = told(ledger, incoming("cc", location="/in/film two.mp4"))[0]
    keys = lambda rows: [row.key for row in rows]  # noqa: E731
    assert keys(ledger.find_sources(first.source_key)) == [first.source_key]
    assert keys(ledger.find_sources("film-two")) == [other.source_key]
    assert len(ledger.find_sources("film")) == 3
    assert keys(ledger.find_sources("/in/film.mp4", location="/in/film.mp4")) == [second.source_key]
    assert ledger.find_sources("fi%") == []


def test_sources_come_page_by_page(ledger):
    made = told(ledger, *[incoming("aa", location=f"/in/{n}") for n in range(5)])
    keys = [registration.source_key for registration in made]
    first = ledger.sources(limit=2)
    assert [row.key for row in first] == keys[:2]
    assert [row.key for row in ledger.sources(after=first[-1].key, limit=2)] == keys[2:4]
    ledger.move(keys[3], "hls", AssetState.RUNNING, actor="test")
    assert [row.key for row in ledger.sources(state=AssetState.RUNNING)] == [keys[3]]


def test_known_files_are_those_below_a_folder(ledger):
    told(ledger, incoming("aa", location="/in/a"), incoming("bbb", location="/in/ü"), incoming("c", location="/inside"))
    ledger.leave_alone({"/in/notes.txt": (5, 6)}, actor="test")
    known = ledger.known_files("/in/")
    assert {place: (file.size_bytes, file.mtime_ns) for place, file in known.items()} == {
        "/in/a": (2, 7), "/in/ü": (3, 7), "/in/notes.txt": (5, 6),
    }  # fmt: skip
    assert known["/in/notes.txt"].source_key is None
