"""A stand-in for the package `faster-whisper`, which is an extra: the same names and parameters, another ear.

Belongs here: the part of its interface that is used (version 1.2), and misbehaviour. It does not listen: a second of
sound is two words. What a folder's file `behaviour` names it does; each question leaves a line in its file `asked`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.provider_content import flac_seconds

MAGIC = b"a model of whisper"


@dataclass
class Word:
    start: float
    end: float
    word: str
    probability: float


@dataclass
class Segment:
    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] | None
    temperature: float | None


@dataclass
class TranscriptionInfo:
    language: str
    language_probability: float
    duration: float
    duration_after_vad: float


class WhisperModel:
    def __init__(
        self,
        model_size_or_path: str,
        device: str = "auto",
        device_index: int = 0,
        compute_type: str = "default",
        cpu_threads: int = 0,
        num_workers: int = 1,
        download_root: str | None = None,
        local_files_only: bool = False,
        files: Any = None,
    ) -> None:
        self.folder = Path(model_size_or_path)
        if (self.folder / "model.bin").read_bytes() != MAGIC:
            raise RuntimeError(f"Unsupported model binary version in {model_size_or_path}")
        if not local_files_only or os.environ.get("HF_HUB_OFFLINE") != "1":
            raise RuntimeError("what a folder does not hold would be asked of the network")
        print("loading", model_size_or_path)  # libraries print; it must not come between the answers

    def transcribe(
        self,
        audio: str,
        language: str | None = None,
        task: str = "transcribe",
        log_progress: bool = False,
        beam_size: int = 5,
        best_of: int = 5,
        patience: float = 1,
        length_penalty: float = 1,
        repetition_penalty: float = 1,
        no_repeat_ngram_size: int = 0,
        temperature: Any = 0.0,
        compression_ratio_threshold: float | None = 2.4,
        log_prob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        condition_on_previous_text: bool = True,
        prompt_reset_on_temperature: float = 0.5,
        initial_prompt: str | None = None,
        prefix: str | None = None,
        suppress_blank: bool = True,
        word_timestamps: bool = False,
        vad_filter: bool = False,
        hotwords: str | None = None,
    ) -> tuple[Iterator[Segment], TranscriptionInfo]:
        with (self.folder / "asked").open("a", encoding="utf-8") as file:
            file.write(f"{language} {initial_prompt} {condition_on_previous_text}\n")
        told = self.folder / "behaviour"
        behaviour = told.read_text(encoding="utf-8") if told.exists() else ""
        if behaviour == "failed":
            raise ValueError("the sound cannot be decoded")
        if behaviour == "reset":
            os._exit(3)
        if behaviour == "slow":
            time.sleep(30)
        seconds = flac_seconds(Path(audio).read_bytes())
        words = (
            []
            if behaviour == "empty"
            else [Word(at / 2, at / 2 + 0.4, f" word{at}", 0.9) for at in range(int(2 * seconds))]
        )
        text = "".join(word.word for word in words)
        segment = Segment(1, 0, 0.0, seconds, text, [], -0.2, 1.1, 0.01, words if word_timestamps else None, 0.0)
        info = TranscriptionInfo(language or "en", 1.0, seconds, seconds)
        return iter([segment] if words else []), info
