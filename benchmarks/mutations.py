"""Thousands of good files made bad, each through probe and decode in locked-down workers, two at a time.

Every file is one of the corpus with some of its structure changed, from a seed (tests/mutated). A file may be refused,
may cross a bound, may even crash its worker: all of these have names. It may not end the processes around the worker,
outlast its time, touch what it was not given, be tried again for ever, or break code of ours. Run:
`python -m benchmarks.mutations [--files 2000] [--seed 1] [--first 0]`; one file again: `--first NUMBER --files 1`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.results import Figure, record
from processing.failures import FailureKind
from tests.corpus import corpus_root
from tests.mutated.formats import corpus_sources, mutated
from tests.mutated.ordeal import RETRIED, Ordeal, Verdict

WALL_S = 12.0  # instead of the minutes that long sources may take: every good file behind these is made in 3
FULL_RUN = 2000


def table(verdict: Verdict) -> Mapping[str, Figure]:
    """The figures, with their bars."""
    return {
        "mutations": Figure(verdict.files, FULL_RUN, "higher", "files"),
        "mutations_parent_failures": Figure(len(verdict.parent_failures), 0, "lower", "files"),
        "mutations_beyond_wall": Figure(len(verdict.beyond_wall), 0, "lower", "tasks"),
        "mutations_escapes": Figure(len(verdict.escapes), 0, "lower", "things touched"),
        "mutations_outside_taxonomy": Figure(len(verdict.outside_taxonomy), 0, "lower", "tasks"),
        "mutations_retried": Figure(len(verdict.of(*RETRIED)), 0, "lower", "tasks"),
        "mutations_faults_of_ours": Figure(len(verdict.of(FailureKind.CONTRACT)), 0, "lower", "tasks"),
        "mutations_sick_workers": Figure(verdict.attempts[FailureKind.SICK_WORKER], 0, "lower", "tries"),
        "mutations_crashes": Figure(verdict.attempts[FailureKind.POISON], None, "lower", "tries"),
        "mutations_bounded": Figure(len(verdict.of(FailureKind.OUT_OF_BUDGET)), None, "lower", "tasks"),
        "mutations_per_minute": Figure(round(60 * verdict.files / verdict.seconds, 1), None, "higher", "files"),
    }


def main() -> int:
    """Run, print, record a full run; 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FULL_RUN)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    given = parser.parse_args()
    root = corpus_root()
    if root is None:
        raise SystemExit("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    logging.disable(logging.INFO)  # what workers print about damaged files
    with tempfile.TemporaryDirectory(prefix="sourcebound-mutations-") as name:
        good, folder = Path(name, "good"), Path(name, "ordeal")
        good.mkdir()
        folder.mkdir()
        sources = corpus_sources(root, good)
        numbers = range(given.first, given.first + given.files)
        with Ordeal(folder, wall_s=WALL_S) as ordeal:
            addresses = ordeal.watch.addresses
            verdict = ordeal.endure(mutated(sources, given.seed, number, addresses) for number in numbers)
    return _told(verdict, given.seed)


def _told(verdict: Verdict, seed: int) -> int:
    figures = table(verdict)
    print(f"seed {seed}, {verdict.files} files in {verdict.seconds:.0f} s, {verdict.attempts.total()} workers\n")
    for what, count in sorted(verdict.outcomes.items()):
        print(f"{count:6} {what}")
    print()
    for name, figure in figures.items():
        bar = "" if figure.bar is None else f"{'at most' if figure.better == 'lower' else 'at least'} {figure.bar:g}"
        print(f"{name:28} {figure.value:>8g} {figure.unit:16} {bar:14} {'' if figure.holds else 'MISSED'}")
    notable = (FailureKind.CONTRACT, FailureKind.SICK_WORKER, FailureKind.POISON, FailureKind.OUT_OF_BUDGET, *RETRIED)
    for problem in [
        *verdict.parent_failures,
        *verdict.beyond_wall,
        *verdict.escapes,
        *verdict.outside_taxonomy,
        *verdict.of(*notable),
    ]:
        print(f"  {problem}")
    if verdict.files >= FULL_RUN:
        record(figures)
    return 0 if all(figure.holds for name, figure in figures.items() if name != "mutations") else 1


if __name__ == "__main__":
    sys.exit(main())
