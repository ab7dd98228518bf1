"""The declaration of packaging: HLS and DASH over one set of segments.

Belongs here: what the platform must know of it. Does not belong here: how it is made (processing/picture/hls) or judged
(processing/contracts/hls).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import picture_asset
from processing.manifest import DeterminismClass
from processing.picture import hls_plan
from processing.picture.ladder_plan import TAP_LADDER
from processing.sound.plan import AAC_TAP
from processing.work import Bounds, Work

HLS = picture_asset(
    work=Work(
        asset="hls",
        code_version=hls_plan.CODE_VERSION,
        operation="processing.picture.hls:make",
        contract="processing.contracts.hls:check",
        # The contract decodes every rung: 0.3 s a second of four rungs on one slow core. Both hold one segment at a
        # time, and the contract a decoder of the largest rung.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=2.0, memory_mb=512),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(TAP_LADDER, AAC_TAP),
        encodes=False,
        parameters=hls_plan.parameters,
        applies=hls_plan.applies,
    ),
    description="The ladder and every audio track as CMAF segments, with HLS playlists and a DASH manifest over them.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=5),
)

DECLARATIONS = (HLS,)
