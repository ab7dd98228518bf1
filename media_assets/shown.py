"""The declarations of what is shown: text in pictures, what is to be seen, and where all texts lie.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/words) or judged
(processing/contracts), or who answers their questions (resources/gateway).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import words_asset
from processing.asking import AskTask
from processing.manifest import DeterminismClass
from processing.words import embeddings_plan, frames_plan, labels_plan, screen_text_plan
from processing.work import Bounds, Work

SCREEN_TEXT = words_asset(
    work=Work(
        asset=screen_text_plan.ASSET,
        code_version=screen_text_plan.CODE_VERSION,
        operation="processing.words.screen_text:make",
        contract="processing.contracts.screen_text:contract",
        # Measured: 0.15 CPU-s a frame to write it down, 480 frames at the most; the contract looks at three again where
        # nothing was read, with the detector of the embedded reader: 2 s each, 600 MB. A still of 100 megapixels is
        # decoded as for thumbnails.
        bounds=Bounds(wall_base_s=300, wall_per_media_s=0.2, memory_mb=1536, output_mb=64),
        determinism=DeterminismClass.C,  # what a model answers
        needs=("media_info", "scenes"),
        asks=(AskTask.READING,),
        taps=(frames_plan.TAP_FRAMES,),
        reads_source=True,  # a still; films are read from their kept frames
        encodes=False,
        parameters=screen_text_plan.parameters,
        applies=screen_text_plan.applies,
    ),
    description="Text that is shown in pictures: lines with their places and times. Made by a model, unreviewed.",
    kinds=("video", "image"),
    latency=timedelta(minutes=15),
)

LABELS = words_asset(
    work=Work(
        asset=labels_plan.ASSET,
        code_version=labels_plan.CODE_VERSION,
        operation="processing.words.labels:make",
        contract="processing.contracts.labels:contract",
        bounds=Bounds(wall_base_s=300, wall_per_media_s=0.1, memory_mb=1536, output_mb=64),
        determinism=DeterminismClass.C,
        needs=("media_info", "scenes"),
        asks=(AskTask.LABELS,),
        taps=(frames_plan.TAP_FRAMES,),
        reads_source=True,
        encodes=False,
        parameters=labels_plan.parameters,
        applies=labels_plan.applies,
    ),
    description="What is to be seen, a frame a shot: labels, moderation, faces. Made by a model, unreviewed.",
    kinds=("video", "image"),
    latency=timedelta(minutes=15),
)

EMBEDDINGS = words_asset(
    work=Work(
        asset=embeddings_plan.ASSET,
        code_version=embeddings_plan.CODE_VERSION,
        operation="processing.words.embeddings:make",
        contract="processing.contracts.embeddings:contract",
        # 4096 vectors of 3072 numbers: 50 MB, and a few times that while their JSON is read.
        bounds=Bounds(wall_base_s=300, wall_per_media_s=0.01, memory_mb=1536, output_mb=256),
        determinism=DeterminismClass.C,
        needs=("media_info", embeddings_plan.TRANSCRIPT, embeddings_plan.SCREEN_TEXT),
        asks=(AskTask.VECTORS,),
        encodes=False,
        parameters=embeddings_plan.parameters,
        applies=embeddings_plan.applies,
    ),
    description="A vector for each segment of the transcript and each line on screen. Made by a model, unreviewed.",
    kinds=("video", "audio", "image"),
    latency=timedelta(minutes=20),
)

DECLARATIONS = (SCREEN_TEXT, LABELS, EMBEDDINGS)
