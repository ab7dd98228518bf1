"""The declarations of moving pictures: the pass over every chunk, the poster, the proxy.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/chunks,
processing/picture), how they are judged (processing/contracts), or packaging for streaming (packaging).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from media_assets.departments import picture_asset
from processing.chunks import chunk_plan
from processing.manifest import DeterminismClass
from processing.picture import fingerprint_plan, proxy_plan, quality_plan, samples_plan, shots_plan, storyboard_plan
from processing.picture.ladder_plan import TAP_LADDER
from processing.words import frames_plan
from processing.work import Bounds, Work


def _moving(info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    return None if info.get("video") else "the source has no moving picture"


CHUNKS = picture_asset(
    work=Work(
        asset="chunks",
        code_version=chunk_plan.CODE_VERSION,
        operation="processing.chunks.chunk_pass:make_unit",
        contract="processing.contracts.chunks:contract",
        unit_contract="processing.contracts.chunks:contract_unit",
        # Four rungs of 1080p30 take 1.7 CPU-s a second of media and 0.4 GB; six of 2160p60 24 CPU-s and 1.3 GB.
        bounds=Bounds(wall_base_s=120, wall_per_media_s=60, memory_mb=3072, output_mb=2048),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(frames_plan.TAP_FRAMES,),  # words come in a run of their own, and would have everything decoded again
        reads_source=True,
        is_pass=True,
        spreads=True,
        unit_parameters=chunk_plan.unit_parameters,
        applies=_moving,
    ),
    description="Every moving picture decoded once, chunk by chunk: the ladder's rungs and sampled frames.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

POSTER = picture_asset(
    work=Work(
        asset="poster",
        code_version="2",
        operation="processing.picture.poster:make",
        contract="processing.contracts.poster:contract",
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.01, memory_mb=512, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(samples_plan.TAP_SAMPLES,),
        encodes=False,
        applies=_moving,
    ),
    description="The best frame there is: sharp, well exposed, not black unless all of the source is.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

STORYBOARD = picture_asset(
    work=Work(
        asset="storyboard",
        code_version=storyboard_plan.CODE_VERSION,
        operation="processing.picture.storyboard:make",
        contract="processing.contracts.storyboard:contract",
        # Measured: 3 ms a tile to make and 4 to judge, at most 720 tiles in the first hour.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.05, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(samples_plan.TAP_SAMPLES,),
        encodes=False,
        parameters=storyboard_plan.parameters,
        applies=_moving,
    ),
    description="Small stills on sheets, with a WebVTT file of what to show where on a seek bar.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

SCENES = picture_asset(
    work=Work(
        asset="scenes",
        code_version=shots_plan.SCENES_CODE_VERSION,
        operation="processing.picture.scenes:make",
        contract="processing.contracts.scenes:contract",
        # Measured: 0.1 s of 22,000 frames; stills are copied, and compared by the contract in 4 ms each.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.1, memory_mb=512, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(shots_plan.TAP_SHOT_SCORES, samples_plan.TAP_SAMPLES),
        encodes=False,
        applies=_moving,
    ),
    description="Shots: where the picture jumps to another one, with the best still of each.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

QUALITY = picture_asset(
    work=Work(
        asset="quality",
        code_version=quality_plan.QUALITY_CODE_VERSION,
        operation="processing.picture.quality:make",
        contract="processing.contracts.quality:contract",
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.05, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(TAP_LADDER, quality_plan.TAP_QUALITY),  # figures are made from the rungs
        encodes=False,
        applies=_moving,
    ),
    description="What encoding costs: SSIM and PSNR of every rung against what its encoder was given.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

FINGERPRINT = picture_asset(
    work=Work(
        asset="fingerprint",
        code_version=fingerprint_plan.CODE_VERSION,
        operation="processing.picture.fingerprint:make",
        contract="processing.contracts.fingerprint:contract",
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.05, memory_mb=512, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info", "scenes", "thumbnails"),
        encodes=False,
        applies=fingerprint_plan.applies,
    ),
    description="A perceptual hash of every shot, or of a still: sources that look alike are found by it.",
    kinds=("video", "image"),
    latency=timedelta(minutes=5),
)

PROXY = picture_asset(
    work=Work(
        asset="proxy",
        code_version="1",
        operation="processing.picture.proxy:make",
        contract="processing.contracts.proxy:contract",
        # Nearly all of it is the contract, which decodes everything: 30 ms a second of media at 540p30.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.5, memory_mb=512, output_mb=8192),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(proxy_plan.TAP_PROXY_RUNG, proxy_plan.TAP_PROXY_SOUND),
        encodes=False,
        applies=_moving,
    ),
    description="One small MP4 that starts to play before it is loaded, remuxed from a rung and the first track.",
    kinds=("video",),
    latency=timedelta(minutes=5),
)

DECLARATIONS = (CHUNKS, POSTER, STORYBOARD, SCENES, QUALITY, FINGERPRINT, PROXY)
