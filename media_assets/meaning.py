"""The declarations of what is meant: the summary of what is said.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/words) or judged
(processing/contracts), or who answers their questions (resources/gateway).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import words_asset
from processing.asking import AskTask
from processing.manifest import DeterminismClass
from processing.words import corrections_plan, screen_text_plan, summary_plan
from processing.work import Bounds, Work

SUMMARY = words_asset(
    work=Work(
        asset=summary_plan.ASSET,
        code_version=summary_plan.CODE_VERSION,
        operation="processing.words.summary:make",
        contract="processing.contracts.summary:contract",
        # Measured over six hours of speech: 10 CPU-s in all its rounds together, 98 MB.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.02, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.C,  # what a model answers
        needs=("media_info", "transcript", "scenes"),
        requires=("transcript",),
        awaits=(screen_text_plan.ASSET,),  # names and figures that are shown are heard right more often
        asks=(AskTask.WRITING,),
        encodes=False,
        parameters=summary_plan.parameters,
        applies=summary_plan.applies,
        corrected=Work(
            asset=summary_plan.ASSET,
            code_version=corrections_plan.CODE_VERSION,
            operation="processing.words.corrected:summary",
            contract="processing.contracts.corrected:summary",
            bounds=Bounds(wall_base_s=60, wall_per_media_s=0.01, memory_mb=384, output_mb=64),
            determinism=DeterminismClass.A,
            needs=("media_info",),
            encodes=False,
        ),
    ),
    description="What was said in short: abstract, chapters and keywords, each with its place, by a model.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=15),
)

DECLARATIONS = (SUMMARY,)
