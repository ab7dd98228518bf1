"""The embedded releases on the golden sets: `python -m benchmarks.golden_scores [TASK...]` prints shares of errors.

Belongs here: asking the models of this installation in this process. Does not belong here: asking any other (the
gateway does), the measures (resources/releases/scoring).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.manifest import list_files
from processing.webvtt import Cue
from processing.words import examined
from processing.work import Input, Task, resolve
from resources.releases import scoring
from resources.releases.golden_sets import GoldenSet, Item, ask_of, golden_set
from resources.releases.registry import read_registry
from resources.releases.release import Release
from resources.releases.trial import Here, kept, summarised


def answered(release: Release, ask: Ask, files: Mapping[str, Path], scratch: Path) -> Input:
    """The answer of an embedded release to an ask whose payload is `files`."""
    folder = next(iter(files.values())).parent
    given = Input("ask", folder, list_files(folder), {}, "")
    told = {"ask": dict(ask.parameters), "release": dict(release.settings)}
    task = Task(str(release.settings["operation"]), told, scratch, inputs={"ask": given})
    done = resolve(task.operation)(task)
    return Input(ask.name, task.out, list_files(task.out), done.facts, "")


class Embedded(Here):
    """An embedded release in this process."""

    def __init__(self, release: Release, scratch: Path) -> None:
        self.release, self.scratch = release, scratch

    def answer(self, ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]:
        """What it answers."""
        answer = answered(self.release, ask, files, self.scratch / "models" / ask.name)
        return answer.path(ANSWER_FILE).read_bytes(), str(answer.facts["format"])


def of_item(release: Release, item: Item, scratch: Path) -> list[scoring.Score]:
    """The scores of an item: of a recogniser as it is, without the transcript's own doubts; of a summary that its
    contract refuses as of none.
    """
    prompts, embedded = read_registry().prompt_identities(), Embedded(release, scratch)
    if release.task is AskTask.WRITING:
        trial = summarised(item, release.identity, prompts, scratch / "trial", embedded)
        return scoring.writing_scores(item, trial.document if trial.is_kept else None)
    answer = kept(ask_of(item, scratch / "asks", prompts), scratch / "asks", scratch / "answer", embedded)
    task = Task(examined.OPERATION, item.told(), scratch / "work", inputs={examined.ANSWER: answer})
    return scoring.SCORES[release.task](item, embedded.run(task).facts["found"])


def of_captions(item: Item) -> list[scoring.Score]:
    """The cues that are set of an item's words."""
    from processing.words import captions, captions_plan

    document = item.document()
    told = captions_plan.parameters({"duration": {"ticks": document["duration"], "timescale": 16_000}}, {})
    track = document["transcript"]["tracks"][0]
    cues: Iterable[Cue] = captions.set_cues(
        captions.said(track["words"]), captions.setting_of(told, track["language"], ())
    )
    return scoring.captions_scores(item, list(cues))


def scored(golden: GoldenSet, scratch: Path) -> Any:
    """The table of the release that is used for a set's task."""
    scores: list[scoring.Score] = []
    if golden.task == "captions":
        for item in golden.items:
            scores += of_captions(item)
        return scoring.table(scores, golden, {"id": "captions", "version": "1", "sha256": ""})
    release = read_registry().used(AskTask(golden.task))[0]
    for item in golden.items:
        scores += of_item(release, item, scratch / item.id)
    return scoring.table(scores, golden, release.identity)


def main() -> int:
    """Print the sums of every set that is named, of all where none is."""
    for name in sys.argv[1:] or ("speech", "reading", "writing", "captions"):
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            table = scored(golden_set(name), Path(folder))
        columns = ["release", "version", "measure", "errors", "total", "share", "items"]
        print(scoring.summed(table)[columns].to_string(index=False))
        print(f"{name}: {time.process_time() - began:.1f} CPU-s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
