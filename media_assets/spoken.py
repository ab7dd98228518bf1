"""The declarations of what is said: transcripts, and captions set from them.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/words) or judged
(processing/contracts).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import words_asset
from processing.asking import AskTask
from processing.manifest import DeterminismClass
from processing.sound import plan
from processing.words import captions_plan, corrections_plan, transcript_plan
from processing.work import Bounds, Work

TRANSCRIPT = words_asset(
    work=Work(
        asset=transcript_plan.ASSET,
        code_version=transcript_plan.CODE_VERSION,
        operation="processing.words.transcript:make",
        contract="processing.contracts.transcript:contract",
        # Measured over six hours of speech: 23 CPU-s to cut and write 77 pieces, 1 to put 47,000 words together, 3 to
        # judge them, peak 112 MB. The rest is for a busy machine; the model's own time is not in it.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.05, memory_mb=384, output_mb=256),
        determinism=DeterminismClass.C,  # another run of a model may hear other words
        needs=("media_info", "speech_map"),
        requires=("speech_map",),
        asks=(AskTask.SPEECH,),
        taps=(plan.FLAC_TAP,),
        encodes=False,
        parameters=transcript_plan.parameters,
        applies=transcript_plan.applies,
        corrected=Work(
            asset=transcript_plan.ASSET,
            code_version=corrections_plan.CODE_VERSION,
            operation="processing.words.corrected:transcript",
            contract="processing.contracts.corrected:transcript",
            bounds=Bounds(wall_base_s=60, wall_per_media_s=0.02, memory_mb=384, output_mb=256),
            determinism=DeterminismClass.A,
            needs=("media_info", "speech_map"),
            encodes=False,
        ),
    ),
    description="What is said: words with times and confidence, by a recogniser; a person may correct them.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=10),
)

CAPTIONS = words_asset(
    work=Work(
        asset=captions_plan.ASSET,
        code_version=captions_plan.CODE_VERSION,
        operation="processing.words.captions:make",
        contract="processing.contracts.captions:contract",
        # Measured over six hours, 47,000 words: 10 CPU-s, peak 112 MB.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.05, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.C,  # itself exact, but of words that are not
        needs=("media_info", "transcript", "scenes"),
        requires=("transcript",),
        encodes=False,
        parameters=captions_plan.parameters,
        applies=captions_plan.applies,
    ),
    description="The transcript as captions: WebVTT and SRT, set to be read, in time with speech and shots.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=11),
)

DECLARATIONS = (TRANSCRIPT, CAPTIONS)
