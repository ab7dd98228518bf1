"""Sidecars as strangers write them: whatever is in one, it is wishes or one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.house import House
from resources.ledger.states import AssetState
from resources.sidecar import InvalidSidecar, read_sidecar, sidecar_of
from tests.house import take_in

NO_TEXT = [r'{"tags": ["\ud800"]}', r'{"title": "a\u0000b"}', r'{"tags": ["\u0000"]}', r'{"language": "\udfff"}']


@pytest.mark.parametrize("content", NO_TEXT)
def test_what_no_database_can_hold_is_refused(content: str, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.mp4.sourcebound.json"
    sidecar.write_text(content)
    with pytest.raises(InvalidSidecar, match="no text"):
        read_sidecar(sidecar, ())


def test_a_nesting_as_deep_as_json_reads_is_refused_whatever_the_stack(tmp_path: Path) -> None:
    """One depth could be read and not written again: it ended a whole call."""
    for depth in range(700, 1000):
        (tmp_path / "deep.json").write_text('{"tags": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(InvalidSidecar):
            read_sidecar(tmp_path / "deep.json", ())


def test_a_backslash_before_u0000_is_text(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.mp4.sourcebound.json"
    sidecar.write_text(r'{"title": "a\\u0000b \ud83d\ude00"}')
    assert read_sidecar(sidecar, ()).title == "a\\u0000b \N{GRINNING FACE}"


def test_one_such_sidecar_does_not_keep_the_next_file_out(house: House, tmp_path: Path) -> None:
    files = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for file in files:
        file.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(24))
    sidecar_of(files[0]).write_text(NO_TEXT[0])
    refused, taken = take_in(house, *files)
    states = {row.state for row in house.ledger.states(refused.source_key).values()}
    assert states == {AssetState.QUARANTINED}
    assert {row.state for row in house.ledger.states(taken.source_key).values()} == {AssetState.REGISTERED}
