"""The house against what people write by hand: the same derivatives of 60 s of 1080p30 H.264 at 8 Mb/s with sound.

Contestants, paired in each round: `script` and `single` (byhand), run by the ffmpeg of the wheel imageio-ffmpeg;
`library`, what `single` makes by the libraries that PyAV carries (bylibrary); `bare`, this house's works through its
workers by plain calls, without contracts and `quality`; `whole`, the command `process` with everything on, Dagster and
database included, in a home that exists. CPU is that of the whole machine meanwhile, so that nothing is left out; the
machine has to be quiet. Each round takes a file that no home has seen.
Of the first round's files the rungs are compared in bytes and SSIM, and the shares of what used both cores are shown.
Run: `python -m benchmarks.contestants [ROUNDS]`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from benchmarks import byhand, bylibrary
from benchmarks.clips import clip
from benchmarks.machine import Clock, wait_for_quiet
from benchmarks.results import Figure, record
from benchmarks.shares import shares
from media_assets.declared import declared
from media_assets.plain import door_of, make_source
from processing.failures import WorkFailure
from processing.manifest import Outcome, Verdict
from processing.picture import ladder_plan
from processing.work import Bounds, Task
from resources.attempts import RunFacts
from resources.compute.port import ComputePort, Done, Usage
from resources.dagster_bindings.executor import steps_at_once
from resources.house import open_house
from resources.intake import register_files
from resources.settings import Settings, load_settings
from tests.corpus import corpus_root
from tests.database import server

SECONDS, RATE, WIDTH, HEIGHT = 60, 30, 1920, 1080
BITS_A_SECOND = 8_000_000
FILM = "scene/big_buck_bunny_0_30.webm"
LADDER = (1080, 720, 540, 360)
# What has no counterpart in the commands: they do not look for voices or hash pictures.
COMPARED = ("hls", "proxy", "poster", "storyboard", "scenes", "loudness", "waveform")
COMMAND = [sys.executable, "-c", "from operations.cli.main import app; app()"]
ROOT = Path(__file__).resolve().parents[1]
BARS = {  # of wall clock and of CPU, times the contestant's
    "bare_to_script_wall": 0.60,
    "bare_to_script_cpu": 0.70,
    "bare_to_single_wall": 0.90,
    "bare_to_single_cpu": 1.05,
    "whole_to_single_wall": 1.10,
    "whole_to_single_cpu": 1.30,
}
BESIDE = ("library_to_single_wall", "library_to_single_cpu", "bare_to_library_wall", "bare_to_library_cpu")


@dataclass(frozen=True, slots=True)
class Took:
    """Wall clock and CPU of the whole machine, in seconds."""

    wall_s: float
    cpu_s: float


class Unjudged(ComputePort):
    """A compute whose contracts say yes without looking."""

    def __init__(self, inner: ComputePort) -> None:
        self._inner = inner

    def run(self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = True, label: str) -> Done:
        return self._inner.run(task, bounds, media_s=media_s, needs_permit=needs_permit, label=label)

    def check(
        self, task: Task, bounds: Bounds, *, media_s: float, needs_permit: bool = False, label: str
    ) -> tuple[tuple[Verdict, ...], Usage]:
        return (Verdict("not judged", Outcome.PASSED),), Usage(0.0, 0.0, 0, 0.0, 0.0, 1)

    def spare_permit(self) -> AbstractContextManager[bool]:
        return self._inner.spare_permit()

    def warm(self) -> None:
        self._inner.warm()

    def request_stop(self) -> None:
        self._inner.request_stop()

    def kill_all(self) -> None:
        self._inner.kill_all()

    def close(self) -> None:
        self._inner.close()


def source(path: Path, number: int) -> Path:
    """The film of a round: a real one where there is a corpus, else moving textures; `number` makes it another."""
    root = corpus_root()
    program = imageio_ffmpeg.get_ffmpeg_exe()
    told = [
        "-c:v",
        "libx264",
        "-preset",
        "fast",
        "-b:v",
        str(BITS_A_SECOND),
        "-g",
        str(2 * RATE),
        "-pix_fmt",
        "yuv420p",
    ]
    if root is not None:
        given = ["-stream_loop", "-1", "-i", str(root / FILM)]
    else:
        made = clip(
            path.with_suffix(".made.mp4"), seconds=SECONDS, number=number, width=WIDTH, height=HEIGHT, rate=RATE
        )
        given = ["-i", str(made)]
    colour = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    shape = f"scale={WIDTH}:{HEIGHT}:out_color_matrix=bt709,{colour},fps={RATE}"
    shape += f",noise=alls=1:allf=t:all_seed={number + 1}"
    command = [program, *byhand.QUIET, *given, "-t", str(SECONDS), "-vf", shape, *told, *byhand.AAC, str(path)]
    subprocess.run(command, check=True)
    return path


def ladder() -> list[byhand.Rung]:
    """The rungs with the settings this house has for such a film."""
    info = {
        "video": {
            "display_width": WIDTH,
            "display_height": HEIGHT,
            "timescale": 90_000,
            "frame_rate": {"num": RATE, "den": 1},
            "chunks": [],
        }
    }
    told = [ladder_plan.rung_parameters(info, rung, {}) for rung in ladder_plan.rungs(info, {"ladder": list(LADDER)})]
    return [
        byhand.Rung(
            each["width"],
            each["height"],
            each["preset"],
            each["lookahead_frames"],
            each["crf"],
            each["cap_bps"],
            each["buffer_bits"],
        )
        for each in told
    ]


def timed(name: str, work: Callable[[], object]) -> Took:
    """Run something on a quiet machine, and say what it took."""
    wait_for_quiet()
    before = Clock.now()
    work()
    after = Clock.now()
    took = Took(after.at_s - before.at_s, after.busy_s - before.busy_s)
    print(f"{name:8s} {took.wall_s:6.1f} s wall {took.cpu_s:6.1f} CPU-s", flush=True)
    return took


def by_hand(which: Callable[..., list[list[str]]], film: Path, folder: Path) -> None:
    """Run the commands of a contestant one after the other."""
    rungs = ladder()
    byhand.folders(folder, rungs)
    for command in which(imageio_ffmpeg.get_ffmpeg_exe(), film, folder, rungs, RATE):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[-4:])} ended with {done.returncode}: {done.stderr[-800:]}")


def by_library(film: Path, folder: Path) -> None:
    """Run the program over PyAV's libraries."""
    rungs = ladder()
    byhand.folders(folder, rungs)
    told = [sys.executable, "-m", "benchmarks.bylibrary", str(film), str(folder), str(RATE)]
    done = subprocess.run(
        [*told, *(bylibrary.argument(rung) for rung in rungs)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bylibrary ended with {done.returncode}: {done.stderr[-800:]}")


def bare(settings: Settings, database_url: str, film: Path) -> Callable[[], None]:
    """This house by plain calls, its workers warm, contracts left out."""
    house = open_house(settings, database_url)
    house.compute = Unjudged(house.compute)
    house.compute.warm()

    def work() -> None:
        with closing(house):
            (registered,) = register_files(house, [film], door_of(declared(), COMPARED), actor="benchmark")
            run = RunFacts(run_id="bare", correlation=registered.arrival_id, actor="benchmark", wanted=COMPARED)
            outcomes = make_source(house, declared(), registered.source_key, run, COMPARED, at_once=steps_at_once())
            for name, made in outcomes.items():
                if isinstance(made, WorkFailure):
                    raise SystemExit(f"{name}: {made.sentence}")

    return work


def whole(settings: Settings, film: Path) -> None:
    """The command, as a user calls it."""
    environment = {**os.environ, **settings.to_environment()}
    command = [*COMMAND, "process", str(film), "--json"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"process ended with {done.returncode}: {done.stderr[-2000:]}")


def ssim(program: str, playlist: Path, film: Path, rung: byhand.Rung) -> float:
    """Mean SSIM over all planes of a rung to the film at its size, as libavfilter has it."""
    graph = f"[1:v]scale={rung.width}:{rung.height}:flags=bicubic[film];[0:v][film]ssim"
    command = [program, "-nostdin", "-hide_banner", "-i", str(playlist), "-i", str(film), "-lavfi", graph]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True)
    return float(done.stderr.rpartition("All:")[2].split()[0])


def compared(film: Path, ours: Path, theirs: Path) -> dict[str, float]:
    """Of each rung how its SSIM differs from theirs, and its bytes as a share of theirs."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    found = {}
    for rung in ladder():
        sizes, likeness = [], []
        for folder in (ours / "hls" / "video" / str(rung.height), theirs / f"v{rung.height}"):
            sizes.append(sum(path.stat().st_size for path in folder.glob("*.m4s")))
            likeness.append(ssim(program, folder / "index.m3u8", film, rung))
        found[f"ssim_beside_single_{rung.height}"] = likeness[0] - likeness[1]
        found[f"bytes_to_single_{rung.height}"] = sizes[0] / sizes[1]
    return found


def one_round(number: int, place: Path, database_url: str) -> tuple[dict[str, Took], dict[str, float]]:
    """Every contestant over one film; of the first film also how its rungs compare and where time went."""
    film = source(place / f"film-{number}.mp4", number)
    took = {}
    for name, which in (("script", byhand.script), ("single", byhand.single)):
        folder = place / name
        took[name] = timed(name, lambda which=which, folder=folder: by_hand(which, film, folder))
        shutil.rmtree(place / "script", ignore_errors=True)
    took["library"] = timed("library", lambda: by_library(film, place / "library"))
    shutil.rmtree(place / "library")
    settings = load_settings(home=place / f"bare-{number}", ladder=LADDER)
    took["bare"] = timed("bare", bare(settings, database_url, film))
    shutil.rmtree(settings.home, ignore_errors=True)
    home = load_settings(home=place / "home", ladder=LADDER)
    before = time.time()
    took["whole"] = timed("whole", lambda: whole(home, film))
    facts: dict[str, float] = {}
    if number == 0:
        facts = compared(film, published(home, place / "ours"), place / "single")
        options = {"ladder": list(LADDER), "encoder": {"preset": home.preset, "lookahead": home.lookahead}}
        used = shares(home, film, options, before, took["whole"].wall_s, took["whole"].cpu_s, os.cpu_count() or 1)
        facts |= {f"share {name}": value for name, value in used.items()}
    shutil.rmtree(place / "single")
    film.unlink()
    return took, facts


def published(home: Settings, to: Path) -> Path:
    """The published folder of the home's last source, with links resolved."""
    newest = max((home.home / "published").glob("film-*"), key=lambda path: path.lstat().st_mtime)
    shutil.copytree(newest, to)
    return to


def ratios(rounds: list[dict[str, Took]]) -> Mapping[str, float]:
    """The median of each pair's ratio over the rounds."""
    found = {}
    for name in [*BARS, *BESIDE]:
        ours, _, rest = name.partition("_to_")
        theirs, _, what = rest.partition("_")
        found[name] = statistics.median(
            getattr(took[ours], f"{what}_s") / getattr(took[theirs], f"{what}_s") for took in rounds
        )
    return found


def main() -> None:
    """Measure, print and record; fail above a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    given = parser.parse_args()
    version = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-version"], capture_output=True, text=True, check=True)
    print(version.stdout.split(" Copyright")[0])
    rounds = []
    with server() as postgres, tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        warm = clip(place / "warm.mp4", seconds=2, number=9_999)
        whole(load_settings(home=place / "home", ladder=LADDER), warm)
        for number in range(given.rounds):
            took, facts = one_round(number, place, postgres.start())
            rounds.append(took)
            for name, value in facts.items():
                print(f"{name:32s} {value:.4f}")
                if not name.startswith("share"):
                    record(
                        {name: Figure(round(value, 4), None, "higher" if "ssim" in name else "lower", "SSIM or times")}
                    )
    found = ratios(rounds)
    for name, value in found.items():
        print(f"{name:24s} {value:.2f}" + (f" (at most {BARS[name]:.2f})" if name in BARS else ""))
    record({name: Figure(round(value, 2), BARS.get(name), "lower", "times") for name, value in found.items()})
    if broken := [name for name, value in found.items() if value > BARS.get(name, value)]:
        raise SystemExit(f"above the bar: {', '.join(broken)}")


if __name__ == "__main__":
    main()
