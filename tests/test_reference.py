"""Originals that are only referred to: what was made of bytes that changed meanwhile is published nowhere."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from processing.failures import BadInput
from resources.attempts import CountedAttempt
from resources.compute.port import Done
from resources.house import House
from resources.ledger.states import AssetState
from tests.corpus import corpus_file
from tests.house import make, take_in


def test_a_chunk_made_while_its_original_was_written_to_is_not_published(
    house: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    referring = dataclasses.replace(house, settings=dataclasses.replace(house.settings, originals="reference"))
    film = tmp_path / "film.mp4"
    shutil.copyfile(corpus_file("video/testsrc.mp4"), film)
    good = film.read_bytes()
    (registration,) = take_in(referring, film)
    make(referring, registration, "media_info")
    real = CountedAttempt.run

    def overwritten(*arguments: object, **options: object) -> Done:
        done = real(*arguments, **options)  # type: ignore[arg-type]
        film.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))  # in place, while the chunk was at work
        return done

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(CountedAttempt, "run", overwritten)
        outcomes = make(referring, registration, "poster")
    assert isinstance(outcomes["chunks"], BadInput)
    assert not [digest for asset, digest in referring.store.committed() if asset == "chunks"]

    film.write_bytes(good)
    make(referring, registration, "poster")
    assert referring.ledger.states(registration.source_key)["poster"].state is AssetState.READY
