"""What an attempt's row says of the work it stands for."""

from __future__ import annotations

from pathlib import Path

from resources.house import House
from tests.house import make, take_in
from tests.media import make_still


def test_an_attempt_says_how_many_bytes_it_read_and_made(house: House, tmp_path: Path) -> None:
    path = make_still(tmp_path / "still.png")
    (registration,) = take_in(house, path)
    made = make(house, registration, "thumbnails")
    info, thumbnails = made["media_info"].manifest, made["thumbnails"].manifest
    used = house.ledger.usage(source=registration.source_key)
    assert used["thumbnails"].bytes_in == path.stat().st_size + sum(entry.bytes for entry in info.files)
    assert used["thumbnails"].bytes_out == sum(entry.bytes for entry in thumbnails.files) > 0
    assert used["media_info"].bytes_out == sum(entry.bytes for entry in info.files) > 0
