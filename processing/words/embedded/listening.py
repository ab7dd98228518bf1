"""The recogniser that the installation carries: English words out of one piece of sound, without any network.

Belongs here: cutting a piece into utterances, listening to them, how well English explains them. Does not belong here:
whether that is believed (listening_plan) or what becomes of the words (words/transcript).

Each utterance is heard three times: with words, with a loop of English sounds in the order English has them, and with
one in any order. Words that explain the sound hardly better than strings of sounds are not what was said: it is another
language, or music.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from processing.asking import ANSWER_FILE
from processing.sound.flac import RATE_HZ
from processing.sound.speech import FULL_SCALE, WINDOW, heard, segments_in
from processing.sound.speech_plan import RULES
from processing.words import piece_files, pieces
from processing.words.embedded.listening_plan import FORMAT, LANGUAGE, UTTERANCE_RULES, model_folder
from processing.work import Result, Task

FRAME = RATE_HZ // 100  # samples: the decoder counts in 10 ms
LOG_BASE = math.log(1.0001)  # the decoder's scores are logarithms to this base
LOOPS = ("sounds in order", "any sounds")  # the searches that have no words


@dataclass(frozen=True, slots=True)
class Utterance:
    """What was heard in one: words with samples of the piece, and the sums that `Fit` is made of."""

    words: tuple[tuple[str, int, int, int], ...]
    frames: int
    gain: int
    certainty: int


def answer(task: Task) -> Result:
    """Write `answer.json` in the format `pocketsphinx.v1`. The one file of the input `ask` is the piece, as FLAC."""
    (entry,) = task.inputs["ask"].files
    samples = piece_files.pcm_of(task.inputs["ask"].path(entry.path))
    listener = Listener()
    spoken = 0
    utterances = []
    for piece in utterances_of(samples):
        utterances.append(listener.utterance(samples[piece.start : piece.end], piece.start))
        spoken += (piece.last - piece.first) // FRAME
    document = {
        "samples": int(samples.size),
        "language": LANGUAGE,
        "frames": sum(each.frames for each in utterances),
        "spoken": spoken,
        "gain": sum(each.gain for each in utterances),
        "certainty": sum(each.certainty for each in utterances),
        "words": [word for each in utterances for word in each.words],
    }
    task.out.mkdir(parents=True, exist_ok=True)
    (task.out / ANSWER_FILE).write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    return Result(facts={"format": FORMAT, "usage": {}})


def utterances_of(samples: piece_files.Pcm) -> list[pieces.Piece]:
    """Where somebody speaks in a piece, cut in its pauses."""
    probabilities = heard(_windows(samples))
    segments = segments_in(probabilities, samples.size, RULES)
    spans = [(each.start, each.end) for each in segments]
    return pieces.cut(spans, samples.size, UTTERANCE_RULES, probabilities)


def _windows(samples: piece_files.Pcm) -> Iterator[Any]:
    import numpy as np

    scaled = samples.astype(np.float32) / FULL_SCALE
    for start in range(0, scaled.size, WINDOW):
        window = scaled[start : start + WINDOW]
        yield window if window.size == WINDOW else np.concatenate([window, np.zeros(WINDOW - window.size, np.float32)])


class Listener:
    """The decoder with its two searches. Not for threads."""

    def __init__(self) -> None:
        # Imported where it is needed: its library belongs to this work alone.
        from pocketsphinx import Decoder  # type: ignore[import-untyped]

        folder = model_folder()
        # Every search scores all sounds: only then are their scores comparable.
        self._decoder: Any = Decoder(
            hmm=str(folder / "en-us"),
            lm=str(folder / "en-us.lm.bin"),
            dict=str(folder / "cmudict-en-us.dict"),
            compallsen=True,
            loglevel="FATAL",
        )
        self._words = self._decoder.current_search()
        for name, order in zip(LOOPS, (str(folder / "en-us-phone.lm.bin"), None), strict=True):
            self._decoder.add_allphone_file(name, order)

    def utterance(self, samples: piece_files.Pcm, at: int) -> Utterance:
        """What is said in samples that begin at sample `at` of the piece."""
        data = samples.tobytes()
        best = self._heard(self._words, data)
        words: list[tuple[str, int, int, int]] = []
        frames = certainty = 0
        for segment in self._decoder.seg() or ():
            if segment.word.startswith(("<", "[", "+")):
                continue  # silence, noise, hesitation
            length = segment.end_frame + 1 - segment.start_frame
            sure = min(1000, max(0, round(segment.prob * 1000)))
            frames += length
            certainty += length * sure
            start = at + segment.start_frame * FRAME
            end = min(at + samples.size, at + (segment.end_frame + 1) * FRAME)
            words.append((_spelling(segment.word), start, max(end, start + 1), sure))
        gain = sum(best - self._heard(loop, data) for loop in LOOPS) if words else 0
        return Utterance(tuple(words), frames, gain, certainty)

    def _heard(self, search: str, data: bytes) -> int:
        """The score of an utterance's best explanation: a logarithm to the decoder's base, 0 where there is none."""
        self._decoder.activate_search(search)
        self._decoder.start_stream()  # the estimate of noise goes back to nothing: utterances leave no trace
        self._decoder.start_utt()
        self._decoder.process_raw(
            data, full_utt=True
        )  # the whole of it: its spectral mean is taken from all its frames
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return round(math.log(found.best_score) / LOG_BASE) if found is not None and found.best_score > 0 else 0


def _spelling(word: str) -> str:
    """A word of the dictionary without the number of its pronunciation: "for(2)"."""
    return word.partition("(")[0]
