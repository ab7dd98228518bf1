"""What must hold of quality figures: every rung and chunk is in them, they add up, and they are not absurd.

Belongs here: judging the report against what was measured. Does not belong here: measuring (picture/quality_tap).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from processing.contracts.clauses import expect, failed, warned
from processing.manifest import Verdict
from processing.picture.likeness import MILLION
from processing.picture.quality import by_rung, labels, psnr_mdb, read_report, read_rows, ssim_text, summed_up
from processing.work import Input, Task

# Mean SSIM. The ladder's rungs of the corpus lie between 0.90 and 1.00 at CRF 23, noise at its capped rate at 0.55, and
# a rung held against other pictures below 0.35.
POOR = 850_000
OTHER_PICTURES = 400_000


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the report cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of quality needs what was made")
    try:
        report = read_report(made.folder)
        rungs = {str(rung["rung"]): rung for rung in report["rungs"]}
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("report readable", f"{type(error).__name__}: {error}", "JSON with rungs")]
    measured = by_rung(task.inputs)
    due = sorted(measured, key=int, reverse=True)
    verdicts = [
        expect("every rung is in it", labels(report["rungs"]) == due, ", ".join(rungs), ", ".join(due)),
        expect("facts agree", _brief(report) == made.facts.get("rungs"), "", "the report without its curves"),
    ]
    for label in due:
        if label in rungs:
            verdicts += [
                Verdict(f"{label} {v.clause}", v.outcome, v.found, v.expected)
                for v in _judge(rungs[label], measured[label])
            ]
    return verdicts


def _brief(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in rung.items() if name != "over_time"} for rung in report["rungs"]]


def _judge(rung: Mapping[str, Any], products: list[Input]) -> Iterator[Verdict]:
    rows = [row for item in products for row in read_rows(item)]
    pixels = int(rung["width"]) * int(rung["height"])
    spans = [(int(item.facts["span"]["start"]), int(item.facts["span"]["end"])) for item in products]
    empty = [start for start, end in spans if not any(start <= row[0] < end for row in rows)]
    yield expect("was compared in every chunk", not empty, f"{len(empty)} without", f"{len(spans)} chunks")
    decoded = sum(int(item.facts["decoded"]) for item in products)
    yield expect("decodes to every frame it was given", decoded == rung["frames"] > 0, decoded, rung["frames"])
    curve = [(row[0], row[1], psnr_mdb(row[2], pixels)) for row in rows]
    yield expect("has the curve that was measured", [tuple(row) for row in rung["over_time"]] == curve)
    summary = summed_up(rows, pixels)
    wrong = [name for name, value in summary.items() if rung.get(name) != value]
    yield expect("is summed up rightly", not wrong, ", ".join(wrong))
    mean = int(rung["ssim_millionths"])
    possible = -MILLION <= int(rung["ssim_least_millionths"]) <= mean <= MILLION
    yield expect(
        "shows what was encoded", possible and mean >= OTHER_PICTURES, ssim_text(mean), ssim_text(OTHER_PICTURES)
    )
    if OTHER_PICTURES <= mean < POOR:
        yield warned("is poor", ssim_text(mean), ssim_text(POOR))
