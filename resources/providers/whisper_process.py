"""The process a Whisper model lives in (`python -m resources.providers.whisper_process`): sound in, words out.

Belongs here: loading the model and asking it. Does not belong here: starting, bounding and killing this process
(whisper_local).

It reads a JSON line a question and writes a JSON line an answer, followed by the answer's bytes: every segment and word
as `faster-whisper` gives them, times in seconds of the sound, probabilities as they are.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

PARENT_LOOK_S = 1.0
SEGMENT = ("id", "seek", "start", "end", "text", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
WORD = ("start", "end", "word", "probability")


class _Fault(Exception):
    """Why no question can be answered: a cause, and a cure; an empty one is to download the model again."""

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure


def load(told: Mapping[str, Any]) -> Any:
    """The model of a folder. Raises _Fault where it is not the one of the release or cannot be loaded."""
    folder = Path(told["directory"])
    if told["sha256"]:
        with (folder / "model.bin").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != told["sha256"]:
            raise _Fault(f"is not what its release says: the sha256 of model.bin in {folder} is {digest[:12]}…")
    try:
        package: Any = importlib.import_module("faster_whisper")  # an extra: there may be no types of it either
    except ImportError as error:
        raise _Fault(f"cannot be loaded: {error}", "pip install 'sourcebound[whisper]'") from error
    try:
        return package.WhisperModel(
            str(folder),
            device=told["device"],
            compute_type=told["compute_type"],
            cpu_threads=told["threads"],
            local_files_only=True,
        )
    except Exception as error:
        raise _Fault(f"cannot be loaded from {folder}, which may be damaged: {_said(error)}") from error


def heard(model: Any, asked: Mapping[str, Any]) -> bytes:
    """The answer to one question, as JSON."""
    # Text of before must not steer what is heard now: it is how one wrong sentence is repeated to the end.
    options = {"beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False, **asked["options"]}
    segments, info = model.transcribe(
        asked["audio"], language=asked["language"], initial_prompt=asked["prompt"], word_timestamps=True, **options
    )
    answer = {
        "language": info.language,
        "language_probability": info.language_probability,
        "duration": info.duration,
        "segments": [
            {
                **{name: getattr(segment, name) for name in SEGMENT},
                "words": [{name: getattr(word, name) for name in WORD} for word in segment.words or []],
            }
            for segment in segments
        ],
    }
    return json.dumps(answer, ensure_ascii=False, default=float).encode()  # numbers of numpy among them


def serve(told: Mapping[str, Any], questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until there are no more questions. A model that cannot be loaded is tried again with the next."""
    model = None
    for line in questions:
        body = b""
        head: dict[str, Any]
        try:
            if model is None:
                model = load(told)
            body = heard(model, json.loads(line))
            head = {"kind": "answer", "bytes": len(body)}
        except _Fault as fault:
            head = {"kind": "faulty", "cause": fault.cause, "cure": fault.cure}
        except Exception as error:  # noqa: BLE001  whoever asked has to hear of it
            head = {"kind": "failed", "cause": f"failed: {_said(error)}"}
        answers.write(json.dumps(head).encode() + b"\n" + body)
        answers.flush()


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _end_with(parent: int) -> None:
    """Leave when the owner is gone; in the middle of a question nobody reads the end of its pipe."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_S)
    os._exit(1)


def main() -> None:
    """`python -m resources.providers.whisper_process <owner's pid> <set-up as JSON>`."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(json.loads(sys.argv[2]), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
