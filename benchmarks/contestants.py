"""The house against what people write by hand: the same derivatives of 60 s of 1080p30 H.264 at 8 Mb/s with sound.

Contestants: `script` and `single` (byhand), run by the ffmpeg of the wheel imageio-ffmpeg; `library`, what `single`
makes by the libraries that PyAV carries (bylibrary); `bare`, this house's works through its workers by plain calls,
without contracts and `quality` (bare); `whole`, the command `process` with everything on, Dagster and database
included, in a home that exists.
They take turns of a few seconds (turns), so that each pair meets the same machine: the first four together, then
`whole` with `single` again, because this house's two would share one count of permits. CPU is that of the whole machine
meanwhile, so that nothing is left out; nothing else may run. Each round takes a file that no home has seen.
Of the first round's files the rungs are compared in bytes and SSIM, and the shares of what used both cores are shown.
Run: `python -m benchmarks.contestants [ROUNDS]`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import imageio_ffmpeg

from benchmarks import byhand, bylibrary
from benchmarks.bare import LADDER
from benchmarks.clips import clip
from benchmarks.command import COMMAND, PICTURE_AND_SOUND, ROOT, environment
from benchmarks.results import Figure, record
from benchmarks.shares import shares
from benchmarks.turns import Prepared, Program, Took, in_turns
from processing.picture import ladder_plan
from resources.settings import Settings, load_settings
from tests.corpus import corpus_root
from tests.database import server

SECONDS, RATE, WIDTH, HEIGHT = 60, 30, 1920, 1080
BITS_A_SECOND = 8_000_000
FILM = "scene/big_buck_bunny_0_30.webm"
BARS = {  # of wall clock and of CPU, times the contestant's
    "bare_to_script_wall": 0.60,
    "bare_to_script_cpu": 0.70,
    "bare_to_single_wall": 0.90,
    "bare_to_single_cpu": 1.05,
    "whole_to_single_wall": 1.10,
    "whole_to_single_cpu": 1.30,
}
BESIDE = ("library_to_single_wall", "library_to_single_cpu", "bare_to_library_wall", "bare_to_library_cpu")


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


def whole(settings: Settings, film: Path) -> None:
    """The command, as a user calls it."""
    done = subprocess.run(
        [*COMMAND, "process", str(film), "--json", *PICTURE_AND_SOUND],
        env=environment(settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"process ended with {done.returncode}: {done.stderr[-2000:]}")


def by_hand(name: str, which: Callable[..., list[list[str]]], film: Path, folder: Path) -> Program:
    """The commands of a contestant one after the other."""
    rungs = ladder()
    byhand.folders(folder, rungs)
    commands = which(imageio_ffmpeg.get_ffmpeg_exe(), film, folder, rungs, RATE)
    text = " && ".join(shlex.join(command) for command in commands)
    return Program(name, ["sh", "-c", text], folder.with_suffix(".log"))


def by_library(film: Path, folder: Path) -> Program:
    """The program over PyAV's libraries."""
    rungs = ladder()
    byhand.folders(folder, rungs)
    told = [str(film), str(folder), str(RATE), *(bylibrary.argument(rung) for rung in rungs)]
    return Program("library", [sys.executable, "-m", "benchmarks.bylibrary", *told], folder.with_suffix(".log"))


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


def one_round(number: int, place: Path, database_url: str) -> tuple[dict[str, float], dict[str, float]]:
    """Every pair's ratios over one film; of the first film also how its rungs compare and where time went."""
    film = source(place / f"film-{number}.mp4", number)
    home = place / f"bare-{number}"
    told = [str(home), database_url, str(film)]
    bare = Prepared("bare", [sys.executable, "-m", "benchmarks.bare", *told], place / "bare.log")
    bare.prepare()
    folders = [place / name for name in ("script", "single", "library")]
    took = in_turns(
        by_hand("script", byhand.script, film, folders[0]),
        by_hand("single", byhand.single, film, folders[1]),
        by_library(film, folders[2]),
        bare,
    )
    found = ratios(took)
    for folder in (*folders, home):
        shutil.rmtree(folder, ignore_errors=True)
    settings = load_settings(home=place / "home", ladder=LADDER)
    command = [*COMMAND, "process", str(film), "--json", *PICTURE_AND_SOUND]
    before = time.time()
    took = in_turns(
        Program("whole", command, place / "whole.log", environment(settings)),
        by_hand("single", byhand.single, film, place / "single"),
    )
    found |= ratios(took)
    facts: dict[str, float] = {}
    if number == 0:
        facts = compared(film, published(settings, place / "ours"), place / "single")
        options = {"ladder": list(LADDER), "encoder": {"preset": settings.preset, "lookahead": settings.lookahead}}
        used = shares(settings, film, options, before, took["whole"].wall_s, took["whole"].cpu_s, os.cpu_count() or 1)
        facts |= {f"share {name}": value for name, value in used.items()}
    shutil.rmtree(place / "single")
    film.unlink()
    return found, facts


def published(home: Settings, to: Path) -> Path:
    """The published folder of the home's last source, with links resolved."""
    newest = max((home.home / "published").glob("film-*"), key=lambda path: path.lstat().st_mtime)
    shutil.copytree(newest, to)
    return to


def ratios(took: Mapping[str, Took]) -> dict[str, float]:
    """What is compared of contestants that took turns."""
    found = {}
    for name in [*BARS, *BESIDE]:
        ours, _, rest = name.partition("_to_")
        theirs, _, what = rest.partition("_")
        if ours in took and theirs in took:
            found[name] = getattr(took[ours], f"{what}_s") / getattr(took[theirs], f"{what}_s")
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
            found, facts = one_round(number, place, postgres.start())
            rounds.append(found)
            for name, value in facts.items():
                print(f"{name:32s} {value:.4f}")
                if not name.startswith("share"):
                    record(
                        {name: Figure(round(value, 4), None, "higher" if "ssim" in name else "lower", "SSIM or times")}
                    )
    medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    for name, value in medians.items():
        print(f"{name:24s} {value:.2f}" + (f" (at most {BARS[name]:.2f})" if name in BARS else ""))
    record({name: Figure(round(value, 2), BARS.get(name), "lower", "times") for name, value in medians.items()})
    if broken := [name for name, value in medians.items() if value > BARS.get(name, value)]:
        raise SystemExit(f"above the bar: {', '.join(broken)}")


if __name__ == "__main__":
    main()
