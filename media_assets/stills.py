"""The declarations of stills.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/picture) or
judged (processing/contracts).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import picture_asset
from processing.manifest import DeterminismClass
from processing.picture import thumbnail_plan
from processing.work import Bounds, Work

THUMBNAILS = picture_asset(
    work=Work(
        asset="thumbnails",
        code_version=thumbnail_plan.CODE_VERSION,
        operation="processing.picture.thumbnails:make",
        contract="processing.contracts.thumbnails:contract",
        # A 120-megapixel still is held two or three times over while it is turned: 360 MB each.
        bounds=Bounds(wall_base_s=120, wall_per_media_s=0, memory_mb=1536, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        reads_source=True,
        parameters=thumbnail_plan.parameters,
        applies=thumbnail_plan.applies,
    ),
    description="The picture upright in sRGB at 320 and 1280 pixels: JPEG, WebP and AVIF.",
    kinds=("image",),
    latency=timedelta(minutes=1),
)

DECLARATIONS = (THUMBNAILS,)
