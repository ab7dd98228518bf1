"""Which files of the inbox are taken in, and when: the plan, without a disk or a clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.file_names import is_temporary
from sensors.plan import TRACKED, Plan, Seen, fingerprint, owners_of, plan

OLD = 1_000_000_000 * 10**9  # an mtime long ago, in ns
NOW = 2_000_000_000.0  # s


@dataclass(frozen=True)
class Had:
    size_bytes: int
    mtime_ns: int


def seen(location: str, size: int = 10, mtime_ns: int = OLD, *, is_link: bool = False) -> Seen:
    return Seen(f"/in/{location}", size, mtime_ns, is_link)


def look(files: Sequence[Seen], cursor: str | None, known: Mapping[str, Had] | None = None, budget: int = 50) -> Plan:
    return plan(files, known or {}, cursor, NOW, budget)


def names(found: Sequence[Seen]) -> list[str]:
    return [item.location.removeprefix("/in/") for item in found]


def reasons(found: Plan) -> dict[str, str]:
    return {item.location.removeprefix("/in/"): item.reason for item in found.waiting}


def settled(files: Sequence[Seen], known: Mapping[str, Had] | None = None) -> Plan:
    """The second of two looks at the same files."""
    return look(files, look(files, None, known).cursor, known)


def test_a_file_that_lay_still_over_two_looks_is_taken() -> None:
    first = look([seen("a.mp4")], None)
    assert names(first.register) == []
    assert names(look([seen("a.mp4")], first.cursor).register) == ["a.mp4"]


def test_a_half_written_upload_waits() -> None:
    cursor = None
    for size in (10, 20, 30):
        found = look([seen("a.mp4", size)], cursor)
        assert found.register == ()
        cursor = found.cursor
    assert names(look([seen("a.mp4", 30)], cursor).register) == ["a.mp4"]


def test_a_file_rewritten_at_the_same_size_waits() -> None:
    first = look([seen("a.mp4", 10, OLD)], None)
    assert look([seen("a.mp4", 10, OLD + 1)], first.cursor).register == ()


def test_a_file_touched_a_moment_ago_waits_though_two_looks_agree() -> None:
    young = seen("a.mp4", mtime_ns=int((NOW - 0.5) * 1e9))
    assert settled([young]).register == ()
    from_the_future = seen("b.mp4", mtime_ns=int((NOW + 3600) * 1e9))
    assert names(settled([from_the_future]).register) == ["b.mp4"]


def test_a_known_file_is_no_business_until_it_changes() -> None:
    known = {"/in/a.mp4": Had(10, OLD)}
    assert settled([seen("a.mp4")], known).register == ()
    assert names(settled([seen("a.mp4", 11)], known).register) == ["a.mp4"]


@pytest.mark.parametrize(
    "name", ["a.mp4.part", "a.crdownload", "a.TMP", "a.mp4~", ".a.mp4.swp", ".hidden.mp4", "~$a.mp4", "Thumbs.db"]
)
def test_a_temporary_name_waits_for_ever(name: str) -> None:
    assert is_temporary(name)
    assert settled([seen(name)]).register == ()


@pytest.mark.parametrize("name", ["a.mp4", "part", "tmp", "a.part.mp4", "no-suffix", "ünïcödé ~ name.mov", "a\nb.mp4"])
def test_an_odd_name_is_not_temporary(name: str) -> None:
    assert not is_temporary(name)
    assert names(settled([seen(name)]).register) == [name]


def test_a_place_holder_waits_while_its_download_goes_on() -> None:
    found = settled([seen("a.mp4", 0), seen("a.mp4.part", 5)])
    assert found.register == ()
    assert reasons(found)["a.mp4"] == "it is being downloaded"
    assert names(settled([seen("a.mp4", 5)]).register) == ["a.mp4"]


def test_a_sidecar_belongs_to_its_file_and_is_never_a_source() -> None:
    files = [seen("a.mp4"), seen("a.mp4.sourcebound.json"), seen("b.mp4.sourcebound.json")]
    found = settled(files)
    assert names(found.register) == ["a.mp4"]
    assert reasons(found) == {"b.mp4.sourcebound.json": "the file it describes is not here"}


def test_a_file_waits_for_a_sidecar_that_is_being_written() -> None:
    first = look([seen("a.mp4"), seen("a.mp4.sourcebound.json", 1)], None)
    second = look([seen("a.mp4"), seen("a.mp4.sourcebound.json", 2)], first.cursor)
    assert second.register == ()
    third = look([seen("a.mp4"), seen("a.mp4.sourcebound.json", 2)], second.cursor)
    assert names(third.register) == ["a.mp4"]


def test_subtitles_belong_to_the_file_of_their_name() -> None:
    found = settled([seen("x/film.mp4"), seen("x/film.srt"), seen("x/film.en.vtt"), seen("x/other.srt")])
    assert names(found.register) == ["x/film.mp4"]
    assert reasons(found) == {"x/other.srt": "the file it belongs to is not here"}
    known = {"/in/x/film.mp4": Had(10, OLD)}
    assert settled([seen("x/film.mp4"), seen("x/film.de.srt")], known).waiting_count == 0


def test_owners_are_named_nearest_first() -> None:
    assert owners_of("a/film.en.srt") == ["a/film.en", "a/film"]
    assert owners_of("film.srt") == ["film"]
    assert owners_of("a/film.mp4.sourcebound.json") == ["a/film.mp4"]


def test_a_path_longer_than_the_ledger_can_hold_waits_and_says_so() -> None:
    found = look([seen("f" * 2_400), seen("a.mp4")], look([seen("a.mp4")], None).cursor)
    assert names(found.register) == ["a.mp4"]
    assert reasons(found) == {"f" * 2_400: "its path is too long to be kept; move it nearer to the top"}


def test_a_link_is_not_followed() -> None:
    found = settled([seen("a.mp4", is_link=True)])
    assert found.register == ()
    assert reasons(found) == {"a.mp4": "it is a link; put the file itself here"}


def test_a_budget_leaves_the_rest_for_the_next_look() -> None:
    files = [seen(f"{index:02d}.mp4", mtime_ns=OLD + index) for index in range(10)]
    first = look(files, None, budget=4)
    second = look(files, first.cursor, budget=4)
    assert names(second.register) == ["00.mp4", "01.mp4", "02.mp4", "03.mp4"]
    assert second.waiting_count == 6
    known = {item.location: Had(item.size_bytes, item.mtime_ns) for item in second.register}
    third = plan(files, known, second.cursor, NOW, 4)
    assert names(third.register) == ["04.mp4", "05.mp4", "06.mp4", "07.mp4"], "they need not lie still anew"


def test_what_was_planned_and_not_taken_is_planned_again() -> None:
    files = [seen("a.mp4")]
    second = settled(files)
    assert names(look(files, second.cursor).register) == ["a.mp4"]


def test_a_cursor_nobody_can_read_costs_two_looks_and_nothing_else() -> None:
    for broken in ("", "not json", "[1]", '{"x": "abc"}', '{"1": 5}'):
        assert look([seen("a.mp4")], broken).register == ()


def test_files_that_grow_for_ever_hold_up_nobody() -> None:
    """More growing files than the cursor can follow, and one that lies still."""
    cursor = None
    taken: list[str] = []
    for step in range(4):
        growing = [seen(f"grow{index}.mp4", step, OLD + 10**9 * (step + 1)) for index in range(3 * TRACKED)]
        found = look([*growing, seen("still.mp4")], cursor)
        taken += names(found.register)
        cursor = found.cursor
    assert "still.mp4" in taken


def test_ten_thousand_files_get_in_by_and_by() -> None:
    files = [seen(f"{index:05d}.mp4") for index in range(1000)]
    known: dict[str, Had] = {}
    cursor = None
    for _ in range(45):
        found = look(files, cursor, known)
        known |= {item.location: Had(item.size_bytes, item.mtime_ns) for item in found.register}
        cursor = found.cursor
    assert len(known) == 1000


locations = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
files_of_a_look = st.lists(
    st.builds(
        Seen,
        locations.map(lambda name: f"/in/{name}"),
        st.integers(0, 3),
        st.integers(OLD, OLD + 3),
        st.booleans(),
    ),
    max_size=250,
    unique_by=lambda item: item.location,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(files_of_a_look, min_size=1, max_size=5), st.integers(0, 20), st.integers(1, 3))
def test_whatever_happens_only_what_lay_still_is_taken_within_the_budget_and_a_small_cursor(
    looks: list[list[Seen]], budget: int, settle: int
) -> None:
    cursor = None
    history: list[dict[str, Seen]] = []
    for files in looks:
        found = plan(files, {}, cursor, NOW, budget, settle)
        history.append({item.location: item for item in files})
        assert len(found.cursor) < 1024
        assert len(found.register) <= budget
        for item in found.register:
            assert not item.is_link
            assert not is_temporary(item.location.rpartition("/")[2])
            for before in history[-settle:]:
                assert before.get(item.location) == item, "it was another file, or none, at a look before"
        cursor = found.cursor


@given(files_of_a_look)
def test_the_plan_does_not_depend_on_the_order_of_the_listing(files: list[Seen]) -> None:
    first = plan(files, {}, None, NOW, 5)
    again = plan(list(reversed(files)), {}, first.cursor, NOW, 5)
    assert again.register == plan(files, {}, first.cursor, NOW, 5).register
    assert json.loads(first.cursor) is not None


def test_a_fingerprint_changes_with_size_time_and_companions() -> None:
    marks = {
        fingerprint(seen("a")),
        fingerprint(seen("a", 11)),
        fingerprint(seen("a", mtime_ns=OLD + 1)),
        fingerprint(seen("b")),
        fingerprint(seen("a"), [seen("a.sourcebound.json")]),
    }
    assert len(marks) == 5
