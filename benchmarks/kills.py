"""SIGKILL at random instants while 25 files are made: what is lost, what is made twice, how long it takes to go on.

Belongs here: the fire and the count afterwards. Does not belong here: the recovery itself (operations/supervise,
sensors/outcomes, resources/runs).

Each kill hits everything at once or one part: supervisor, daemon, a run, the run nursery, a media nursery, a media
worker, the database. Where the supervisor died `sourcebound up` alone is started again. When the files are made and
kills are left, another round begins in a fresh home. Run: `python -m benchmarks.kills [--kills N] [--seed S]`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import Figure, record
from operations.session import open_session
from resources.house import open_house
from resources.settings import load_settings
from resources.status import overall
from resources.verify import verify_everything
from tests.corpus import NAMED_25, corpus_root, rows
from tests.site import EVERYTHING, Kill, Site, free_port

RIGHT_STATES = {"ok": {"ready"}, "reject": {"quarantined"}, "partial": {"ready", "quarantined", "bounded"}}
PARTS = ("supervisor", "daemon", "run", "run nursery", "media nursery", "media worker", "database")
WEIGHT_OF_EVERYTHING = 5  # of 12: the harshest kill is also the most frequent
READY_DEADLINE_S = 180.0
DONE_DEADLINE_S = 900.0
SLACK_S = 60.0  # what a recovery may take beyond the work that is left
STOP_BAR_S = 10.0
LOOK_S = 0.3
SWEEP_S = 6.0  # one look of the sensor that sweeps


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The same files without a kill: seconds until the pages answered, and until each next asset came to rest."""

    start_s: float
    settled: Sequence[float]

    def left_s(self, done: int) -> float:
        """How long the rest took from the moment when `done` assets were at rest."""
        return self.settled[-1] - (self.settled[min(done, len(self.settled)) - 1] if done else 0.0)


@dataclass(slots=True)
class Count:
    """What the rounds showed, summed or at worst."""

    files: int = 0
    wrong: list[str] = field(default_factory=list)
    half_published: list[str] = field(default_factory=list)
    made_twice_at_once: list[str] = field(default_factory=list)
    units: int = 0
    redone: int = 0
    most_cut_per_worker: float = 0.0
    recovery_s: float = 0.0
    left_s: float = 0.0
    stop_s: float = 0.0
    left_processes: int = 0


def fill(inbox: Path, root: Path, names: Sequence[str]) -> None:
    """Copy the named files."""
    inbox.mkdir(parents=True)
    for name in names:
        shutil.copy(root / name, inbox / Path(name).name)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came true in time."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True


def under_fire(site: Site, kills: int, names: Sequence[str], choice: random.Random, span_s: float) -> None:
    """Kill until `kills` are done or the files are made."""
    done = 0
    while done < kills:
        last = site.kills[-1].what if site.kills else EVERYTHING
        restarting = last in {EVERYTHING, "supervisor", "daemon"}
        instant = time.monotonic() + choice.uniform(0.2, span_s if restarting else span_s / 3)
        while time.monotonic() < instant and not site.settled(len(names)):
            site.revive()
            time.sleep(LOOK_S)
        if site.settled(len(names)):
            break
        what = choice.choices((EVERYTHING, *PARTS), weights=(WEIGHT_OF_EVERYTHING, *(1 for _ in PARTS)))[0]
        kill = site.kill(what, choice)
        done += 1
        say(f"kill {done}: {kill.what} ({kill.count} processes) at {kill.at - site.began:.1f} s")
        site.revive()


def one_round(
    site: Site, kills: int, names: Sequence[str], choice: random.Random, undisturbed: Undisturbed, count: Count
) -> None:
    """Fire, recovery, stop, count."""
    site.start()
    under_fire(site, kills, names, choice, 2 * undisturbed.start_s)
    fired = site.kills[-1].at if site.kills else time.time()
    if not wait_until(lambda: _revived_and_settled(site, len(names)), DONE_DEADLINE_S):
        count.wrong.append(f"not settled after {DONE_DEADLINE_S:g} s")
    before = sum(at <= fired for at in site.settlements())
    recovery_s, left_s = time.time() - fired, undisturbed.left_s(before)
    if recovery_s - left_s > count.recovery_s - count.left_s:
        count.recovery_s, count.left_s = recovery_s, left_s
    time.sleep(SWEEP_S)
    started = time.monotonic()
    site.stop()
    count.stop_s = max(count.stop_s, time.monotonic() - started)
    count.left_processes += len(site.everything())
    examine(site, count)


def _revived_and_settled(site: Site, files: int) -> bool:
    site.revive()
    return site.settled(files)


def examine(site: Site, count: Count) -> None:
    """Count what is wrong in a home at rest."""
    settings = site.settings
    expected = {Path(row["path"]).name: row["expected"] for row in rows()}
    with open_session(settings) as session:
        house = open_house(settings, session.database_url)
        try:
            sources = session.ledger.sources()
            count.files += len(sources)
            for source in sources:
                state, cause = overall(session.ledger.states(source.key))
                name = Path(source.location).name
                if state.value not in RIGHT_STATES[expected[name]]:
                    count.wrong.append(f"{name} is {state.value} ({cause}), expected {expected[name]}")
                published = settings.home / "published" / source.key
                if state.value == "ready" and not (published / "index.json").is_file():
                    count.half_published.append(f"{name} is ready without a published index")
            count.half_published += half_published(settings.home, house.store)
        finally:
            house.close()
        _count_attempts(site, count)


def half_published(home: Path, store: Any) -> list[str]:
    """Whatever is there in part: artifacts, links, unfinished work of the dead."""
    problems = [
        f"{place} has no manifest"
        for place in home.glob("store/artifacts/*/*")
        if not (place / "manifest.json").is_file()
    ]
    problems += [problem.sentence for problem in verify_everything(store)]
    for link in (home / "published").rglob("*"):
        if link.is_symlink() and not link.exists():
            problems.append(f"{link} leads nowhere")
    problems += [f"{place} was not swept" for place in (home / "store" / "staging").glob("*")]
    problems += [f"{place} was not swept" for place in (home / "originals" / "incoming").glob("*")]
    return problems


def _count_attempts(site: Site, count: Count) -> None:
    """Twice at once, and again, from the ledger's attempts."""
    attempts = site.ask(
        "SELECT a.run_id, a.asset, a.unit, a.recipe_hash, extract(epoch FROM a.at)::float, e.outcome,"
        " extract(epoch FROM e.at)::float FROM ledger.attempts a"
        " LEFT JOIN ledger.attempt_ends e ON e.attempt = a.seq ORDER BY a.seq"
    )
    assert attempts is not None
    made: dict[tuple[str, str], list[tuple[float, float]]] = {}
    tried: Counter[tuple[str, str, str]] = Counter()
    cut: Counter[str] = Counter()
    for run, asset, unit, recipe, at, outcome, end in attempts:
        if outcome == "succeeded":
            for other_at, other_end in made.setdefault((asset, recipe), []):
                if at < other_end and other_at < end:
                    count.made_twice_at_once.append(f"{asset} {unit or ''} {recipe[:12]}")
            made[asset, recipe].append((at, end))
        if unit is not None:
            tried[asset, unit, recipe] += 1
            cut[run] += outcome != "succeeded"
    count.units += len(tried)
    count.redone += sum(times - 1 for times in tried.values())
    workers = load_settings().permits or len(os.sched_getaffinity(0))
    count.most_cut_per_worker = max([count.most_cut_per_worker, *(number / workers for number in cut.values())])


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


def table(count: Count, kills: Sequence[Kill]) -> Mapping[str, Figure]:
    """The figures, with their bars."""
    return {
        "kills": Figure(len(kills), None, "higher", "kills"),
        "kills_wrong_states": Figure(len(count.wrong), 0, "lower", "sources"),
        "kills_half_published": Figure(len(count.half_published), 0, "lower", "things"),
        "kills_made_twice_at_once": Figure(len(count.made_twice_at_once), 0, "lower", "recipes"),
        "kills_chunks_redone_per_kill": Figure(round(count.redone / max(1, len(kills)), 3), 2, "lower", "chunks"),
        "kills_most_chunks_cut_per_worker": Figure(count.most_cut_per_worker, 1, "lower", "chunks a worker"),
        "kills_recovery_beyond_undisturbed_s": Figure(round(count.recovery_s - count.left_s, 1), SLACK_S, "lower", "s"),
        "kills_stop_s": Figure(round(count.stop_s, 2), STOP_BAR_S, "lower", "s"),
        "kills_left_processes": Figure(count.left_processes, 0, "lower", "processes"),
    }


def measured_undisturbed(site: Site, root: Path, names: Sequence[str]) -> Undisturbed:
    """The same files without a kill."""
    folder = site.folder
    fill(folder / "inbox", root, names)
    site.start()
    if not wait_until(site.answers, READY_DEADLINE_S):
        raise SystemExit(f"sourcebound did not come up; see {folder / 'up.log'}")
    start_s = time.time() - site.began
    if not wait_until(lambda: site.settled(len(names)), DONE_DEADLINE_S):
        raise SystemExit(f"the files were not made; see {folder / 'home' / 'logs'}")
    settled = [at - site.began for at in site.settlements()]
    site.stop()
    return Undisturbed(start_s, settled)


def main() -> int:
    """Run, print, record; 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=len(NAMED_25), help="only the first so many of the named files")
    parser.add_argument("--keep", action="store_true", help="leave the homes where they are")
    given = parser.parse_args()
    root = corpus_root()
    if root is None:
        raise SystemExit("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    names = NAMED_25[: given.files]
    choice = random.Random(given.seed)
    count = Count()
    kills: list[Kill] = []
    sites: list[Site] = []
    base = Path(tempfile.mkdtemp(prefix="sourcebound-kills-"))
    base.chmod(0o711)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing of ours is left running, however this ends
    try:
        sites.append(Site(base / "undisturbed", free_port()))
        undisturbed = measured_undisturbed(sites[0], root, names)
        say(f"undisturbed: up after {undisturbed.start_s:.1f} s, all made after {undisturbed.settled[-1]:.1f} s")
        say(f"seed {given.seed}, homes in {base}")
        while len(kills) < given.kills:
            site = Site(base / f"round-{len(sites)}", free_port())
            sites.append(site)
            fill(site.folder / "inbox", root, names)
            one_round(site, given.kills - len(kills), names, choice, undisturbed, count)
            kills += site.kills
            say(f"round: {len(site.kills)} kills, {time.time() - site.began:.0f} s")
            if not site.kills:
                raise SystemExit("the files were made before the first kill")
    finally:
        for site in sites:
            site.kill(EVERYTHING, choice)
        if not given.keep:
            shutil.rmtree(base, ignore_errors=True)
    figures = table(count, kills)
    say(f"\n{dict(Counter(kill.what for kill in kills))}, {count.files} sources, {count.units} chunks and tracks,")
    say(f"{time.monotonic() - began:.0f} s; slowest recovery {count.recovery_s:.1f} s, else {count.left_s:.1f} s\n")
    for name, figure in figures.items():
        bar = "" if figure.bar is None else f"{'at most' if figure.better == 'lower' else 'at least'} {figure.bar:g}"
        say(f"{name:36} {figure.value:>8g} {figure.unit:16} {bar:14} {'' if figure.holds else 'MISSED'}")
    for problem in [*count.wrong, *count.half_published, *count.made_twice_at_once]:
        say(f"  {problem}")
    record(figures)
    return 0 if all(figure.holds for figure in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
