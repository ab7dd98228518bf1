"""The same bytes on every x86 machine: ladders made by libraries that are held to older CPUs, in warm processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpu_level import LEVELS
from tests.media import make_video

ROOT = Path(__file__).resolve().parents[1]
# Every number of 16-pixel blocks modulo 8, on which mb-tree's dirty memory depends, and widths that fill no block.
WIDTHS = (*tuple(16 * blocks for blocks in range(24, 32)), 386, 406, 426, 446)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("levels")
    return make_video(folder / "clip.mp4", frames=20, width=640, height=320)


def made_at(level: str, source: Path, folder: Path) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "tests.cpu_level", level, str(source), str(folder), *map(str, WIDTHS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def newest(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return made_at(LEVELS[-1], source, tmp_path_factory.mktemp("newest"))


def test_widths_of_every_residue_repeat_in_a_warm_process(newest: dict[str, list[str]]) -> None:
    assert len(newest) == len(WIDTHS)
    assert all(one == other for one, other in newest.values())
    assert len({one for one, _ in newest.values()}) == len(WIDTHS), "digests tell widths apart"


# The oldest and the one below the newest at every turn, those between when there is time.
AT_EVERY_TURN = (LEVELS[0], LEVELS[-2])


@pytest.mark.parametrize(
    "level",
    [pytest.param(level, marks=() if level in AT_EVERY_TURN else pytest.mark.slow) for level in LEVELS[:-1]],
)
def test_an_older_cpu_makes_the_same_ladder(
    level: str, source: Path, newest: dict[str, list[str]], tmp_path: Path
) -> None:
    assert made_at(level, source, tmp_path) == newest
