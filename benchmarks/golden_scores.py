"""The embedded releases on the golden sets: `python -m benchmarks.golden_scores [TASK...]` prints shares of errors.

Belongs here: asking the models of this installation in this process. Does not belong here: asking any other (the
gateway does), the measures (resources/releases/scoring).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.manifest import list_files
from processing.webvtt import Cue
from processing.work import Input, Task, resolve
from resources.releases import scoring
from resources.releases.golden_sets import GoldenSet, Item, ask_of, golden_set
from resources.releases.registry import read_registry
from resources.releases.release import Release
from resources.releases.trial import heard, shown, summarised


def answered(release: Release, ask: Ask, files: Mapping[str, Path], scratch: Path) -> Input:
    """The answer of an embedded release to an ask whose payload is `files`."""
    folder = next(iter(files.values())).parent
    given = Input("ask", folder, list_files(folder), {}, "")
    told = {"ask": dict(ask.parameters), "release": dict(release.settings)}
    task = Task(str(release.settings["operation"]), told, scratch, inputs={"ask": given})
    done = resolve(task.operation)(task)
    return Input(ask.name, task.out, list_files(task.out), done.facts, "")


def of_speech(release: Release, item: Item, scratch: Path) -> list[scoring.Score]:
    """What is heard in an item, as it is: without the transcript's own doubts."""
    return scoring.speech_scores(item, heard(_of_payload(release, item, scratch), item))


def of_reading(release: Release, item: Item, scratch: Path) -> list[scoring.Score]:
    """What is read in an item, line after line."""
    return scoring.reading_scores(item, shown(_of_payload(release, item, scratch), item))


def of_writing(release: Release, item: Item, scratch: Path) -> list[scoring.Score]:
    """The summary of an item; one that its contract refuses counts as none."""
    prompts = read_registry().prompt_identities()

    def answering(ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]:
        answer = answered(release, ask, files, scratch / "models" / ask.name)
        return answer.path(ANSWER_FILE).read_bytes(), str(answer.facts["format"])

    trial = summarised(item, release.identity, prompts, scratch / "trial", answering)
    return scoring.writing_scores(item, trial.document if trial.is_kept else None)


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


def _of_payload(release: Release, item: Item, scratch: Path) -> Input:
    ask = ask_of(item, scratch / "asks")
    files = {role: scratch / "asks" / path for role, path in ask.payload.items()}
    return answered(release, ask, files, scratch / "work")


OF: Mapping[str, Callable[[Release, Item, Path], list[scoring.Score]]] = {
    "speech": of_speech,
    "reading": of_reading,
    "writing": of_writing,
}


def scored(golden: GoldenSet, scratch: Path) -> Any:
    """The table of the release that is used for a set's task."""
    scores: list[scoring.Score] = []
    if golden.task == "captions":
        for item in golden.items:
            scores += of_captions(item)
        return scoring.table(scores, golden, {"id": "captions", "version": "1", "sha256": ""})
    release = read_registry().used(AskTask(golden.task))[0]
    for item in golden.items:
        scores += OF[golden.task](release, item, scratch / item.id)
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
