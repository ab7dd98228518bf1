"""The declarations of intake: what is done with a file before anything is made of it.

Belongs here: what the platform must know of these derivatives. Does not belong here: how they are made
(processing/probe) or judged (processing/contracts).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import intake_asset
from media_assets.spec import KINDS
from processing.manifest import DeterminismClass
from processing.probe import planning
from processing.work import Bounds, Work

SOURCE = intake_asset(
    work=Work(
        asset="source",
        code_version="1",
        operation="processing.original:make",
        contract="processing.contracts.original:check",
        bounds=Bounds(wall_base_s=600, wall_per_media_s=0, memory_mb=256, output_mb=1),  # 60 GB at 100 MB/s
        determinism=DeterminismClass.A,
        reads_source=True,
        encodes=False,
    ),
    description="The original, kept by its content, proven to be the bytes that arrived.",
    kinds=KINDS,
    latency=timedelta(seconds=15),
)

MEDIA_INFO = intake_asset(
    work=Work(
        asset="media_info",
        code_version=planning.CODE_VERSION,
        operation="processing.probe.media_info:make",
        contract="processing.contracts.media_info:contract",
        # The length is not known yet: 600 s read 60 GB at 100 MB/s. Memory is that of one 120-megapixel still.
        bounds=Bounds(wall_base_s=600, wall_per_media_s=0, memory_mb=1536, output_mb=64),
        determinism=DeterminismClass.A,
        needs=("source",),
        reads_source=True,
        encodes=False,
        parameters=planning.parameters,
    ),
    description="What the file is: streams, times, sizes, colour, languages, damage, and where it is cut into chunks.",
    kinds=KINDS,
    latency=timedelta(seconds=30),
)

DECLARATIONS = (SOURCE, MEDIA_INFO)
