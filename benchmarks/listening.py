"""How well the embedded recogniser hears: word error rates over the corpus, and what it refuses.

    python -m benchmarks.listening

Belongs here: the table. Does not belong here: listening (processing/words/embedded) or judging (contracts).

Every speech file of the corpus goes the way it goes in production: sound pass, speech map, pieces, answers, transcript,
contract. English ones are compared with their reference by jiwer, through the normaliser; the others must be refused.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import jiwer

from processing.manifest import Outcome
from processing.words.answers.pocketsphinx import read
from processing.words.embedded.listening_plan import LEAST, evidence
from processing.words.normaliser import VERSION, normalised
from processing.work import Task
from tests.corpus import corpus_root, rows
from tests.spoken import text_of, transcribed

HEADER = f"{'file':52} {'language':8} {'seconds':>7} {'cpu s':>6} {'evidence':>8} {'WER':>5}  heard or refused"


def evidence_of(task: Task) -> int | None:
    """How much speaks for English over all pieces, None where nothing was asked."""
    fits = []
    for name, item in task.inputs.items():
        if name.startswith("speech/"):
            piece = item.path("answer.json").read_bytes()
            samples = int(json.loads(piece)["samples"])
            fits.append(read(piece, samples).fit)
    known = [fit for fit in fits if fit is not None]
    return evidence(sum(known[1:], start=known[0])) if known else None


def main() -> None:
    """Print the table."""
    root = corpus_root()
    if root is None:
        raise SystemExit("needs the corpus: set SOURCEBOUND_CORPUS to its folder")
    print(f"normaliser {VERSION}, believed from {LEAST} on")
    print(HEADER)
    references, hypotheses = [], []
    for row in rows():
        if not row["path"].startswith("speech/"):
            continue
        language = row["traits"].split(";")[0]
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            task, result = transcribed(Path(root / row["path"]), Path(folder))
            cpu_s = time.process_time() - began
            found = evidence_of(task)
            refused = result.facts.get("not_applicable")
            heard = str(refused) if refused else text_of(task)
            verdicts = [] if refused else _broken(task)
        rate = ""
        if not refused and row["truth_kind"] == "transcript":
            reference, hypothesis = normalised(row["truth"]), normalised(heard)
            rate = f"{jiwer.wer(reference, hypothesis):.2f}"
            references.append(reference)
            hypotheses.append(hypothesis)
        shown = f"{'' if found is None else found:>8}"
        print(f"{row['path']:52} {language[:8]:8} {row['duration_s']:>7} {cpu_s:6.1f} {shown} {rate:>5}  {heard}")
        for clause in verdicts:
            print(f"{'':52} breaks: {clause}")
    if references:
        print(f"all that were published: {jiwer.wer(references, hypotheses):.2f}")


def _broken(task: Task) -> list[str]:
    from processing.contracts.transcript import contract

    return [verdict.clause for verdict in contract(task) if verdict.outcome is Outcome.FAILED]


if __name__ == "__main__":
    main()
