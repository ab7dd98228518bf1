"""Character error rate of what is read, file by file: the corpus's pictures, and the text that its films show.

Run: `python -m benchmarks.reading`, with the corpus beside the checkout or at SOURCEBOUND_CORPUS.

Each file goes through the operation itself, with the embedded reader's answers, and its contract. The rate is jiwer's:
insertions, deletions and substitutions over the letters of the truth. Both texts are brought to Unicode's form NFKC and
their white space to single blanks; case, accents and punctuation count. A picture's lines are joined in the order in
which they are told. A film's truth are fragments: each is compared with every run of lines of one frame, and the best
counts. Pictures are read a second time standing on their heads.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
from PIL import Image

from processing.contracts.screen_text import contract
from processing.manifest import Outcome
from processing.picture import samples_plan, scenes, shots_plan
from processing.picture.stills import decode_still, flattened
from processing.probe.media_info import facts_of
from processing.words import frames_plan, screen_text_plan
from processing.words.embedded.reading_plan import model
from processing.words.screen_text import make, read_document
from processing.work import Task
from tests.asking_trial import embedded, finished
from tests.corpus import corpus_root, rows
from tests.media import as_input, source_task
from tests.media_picture import make_products

LONGEST_RUN = 4  # lines that a fragment may be spread over
OPTIONS = {"models": {"reading": model()}}
FRAGMENTS = "ocr_text="


def normal(text: str) -> str:
    """Text as it is compared."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def error_rate(truth: str, read: str) -> float:
    """Letters wrong of those that should be there; of no text at all, the number of letters that were read."""
    truth, read = normal(truth), normal(read)
    return float(jiwer.cer(truth, read)) if truth else float(len(read))


def task_of(path: Path, folder: Path) -> Task:
    """The task of the asset over one file."""
    info = facts_of(path, {"grid": {"target_s": 6}})
    (folder / "info").mkdir(parents=True)
    inputs = {"media_info": as_input("media_info", folder / "info", info)}
    if info.get("video"):
        planned = [each for plan in (frames_plan, samples_plan, shots_plan) for each in plan.plan(info, {})]
        made = make_products(path, folder / "made", info, planned)
        frames = {name: item for name, item in made.items() if name.startswith(frames_plan.PREFIX)}
        shots = source_task(path, folder / "scenes")
        shots = replace(shots, inputs={name: item for name, item in made.items() if name not in frames})
        inputs |= {"scenes": as_input("scenes", shots.out, scenes.make(shots).facts), **frames}
    task = source_task(path, folder / "screen_text", parameters=screen_text_plan.parameters(info, OPTIONS))
    return replace(task, inputs=inputs)


def read(path: Path, folder: Path) -> tuple[Mapping[str, Any], str]:
    """The document of one file, and what its contract found."""
    task, _ = finished(make, task_of(path, folder), embedded)
    assert task.made is not None
    verdicts = [verdict for verdict in contract(task) if verdict.outcome is not Outcome.PASSED]
    kept = "; ".join(f"{verdict.outcome}: {verdict.clause}" for verdict in verdicts) or "contract kept"
    return read_document(task.made.folder), kept


def on_its_head(path: Path, folder: Path) -> Path:
    """The picture turned by half, as a file of its own that says nothing of it."""
    picture = flattened(decode_still(path, facts_of(path, {"grid": {"target_s": 6}})))
    folder.mkdir(parents=True)
    picture.transpose(Image.Transpose.ROTATE_180).save(folder / "turned.png")
    return folder / "turned.png"


def runs_of(document: Mapping[str, Any]) -> Iterator[str]:
    """Every text that stands together in one frame."""
    for frame in document["frames"]:
        texts = [line["text"] for line in document["lines"] if frame["frame"] in line["frames"]]
        for first in range(len(texts)):
            for count in range(1, LONGEST_RUN + 1):
                yield " ".join(texts[first : first + count])


def fragments_of(row: Mapping[str, str]) -> list[str]:
    """What a film shows, as its row of the manifest says."""
    if row["truth_kind"] == "ocr_contains":
        return [each.strip() for each in row["truth"].split("|")]
    told = [trait for trait in row["traits"].split(";") if trait.startswith(FRAGMENTS)]
    return [each.strip() for trait in told for each in trait.removeprefix(FRAGMENTS).split("|")]


def pictures(root: Path, folder: Path) -> Iterator[float]:
    """Print a line for each picture with a truth; the error rates of those with text."""
    for number, row in enumerate(row for row in rows() if row["truth_kind"] == "ocr"):
        started = time.process_time()
        document, kept = read(root / row["path"], folder / str(number))
        taken = time.process_time() - started
        turned, _ = read(on_its_head(root / row["path"], folder / f"{number}-turned"), folder / f"{number}-again")
        text = " ".join(line["text"] for line in document["lines"])
        reversed_ = " ".join(line["text"] for line in turned["lines"][::-1])
        rate, other = error_rate(row["truth"], text), error_rate(row["truth"], reversed_)
        unread = f", {len(document['unread'])} unread" if document["unread"] else ""
        of = "" if row["truth"] else " letters, of no text"
        print(f"{row['path']:32} CER {rate:.3f}{of}  on its head {other:.3f}  {taken:.1f} CPU-s  {kept}{unread}")
        if row["truth"]:
            yield rate


def films(root: Path, folder: Path) -> Iterator[float]:
    """Print a line for each fragment that a film shows; their error rates."""
    for number, row in enumerate(row for row in rows() if row["kind"] != "ocr" and fragments_of(row)):
        document, kept = read(root / row["path"], folder / f"film-{number}")
        print(f"{row['path']:32} {len(document['frames'])} frames, {len(document['lines'])} lines  {kept}")
        runs = set(runs_of(document))
        for fragment in fragments_of(row):
            best = min(runs, key=lambda run: error_rate(fragment, run), default="")
            rate = error_rate(fragment, best)
            print(f"{'':32} CER {rate:.3f}  {fragment!r} read as {best!r}")
            yield rate


def main() -> None:
    """Print every file's rate and the medians."""
    root = corpus_root()
    if root is None:
        raise SystemExit("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    with tempfile.TemporaryDirectory() as temporary:
        stills = list(pictures(root, Path(temporary)))
        shown = list(films(root, Path(temporary)))
    print(
        f"pictures: median CER {statistics.median(stills):.3f}, mean {statistics.mean(stills):.3f}, {len(stills)} files"
    )
    print(
        f"films: median CER {statistics.median(shown):.3f}, mean {statistics.mean(shown):.3f}, {len(shown)} fragments"
    )


if __name__ == "__main__":
    main()
