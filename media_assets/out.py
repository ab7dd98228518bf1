"""The declaration of what leaves the house: the release people link to.

Belongs here: what the platform must know of it. Does not belong here: what a release consists of (processing/release)
or where it is laid out (resources/store/published).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets.departments import out_asset
from processing import release
from processing.manifest import DeterminismClass
from processing.work import Bounds, Work

RELEASE = out_asset(
    work=Work(
        asset="release",
        code_version=release.CODE_VERSION,
        operation="processing.release:make",
        contract="processing.contracts.release:check",
        bounds=Bounds(wall_base_s=30, wall_per_media_s=0.01, memory_mb=256, output_mb=64),  # text only
        determinism=DeterminismClass.A,
        needs=(
            "media_info",
            "hls",
            "proxy",
            "poster",
            "storyboard",
            "scenes",
            "quality",
            "thumbnails",
            "fingerprint",
            "loudness",
            "waveform",
            "speech_map",
            "subtitles",
        ),
        awaits=("transcript", "captions", "screen_text", "summary", "labels", "embeddings"),
        taps=(release.SOUND_ALONE_TAP,),
        names_source=True,
        publishes=True,
        encodes=False,
        parameters=release.parameters,
        applies=release.applies,
    ),
    description="What people link to: playlist, manifest, poster, file and index under stable names.",
    kinds=("video", "audio", "image"),
    latency=timedelta(minutes=6),
)

DECLARATIONS = (RELEASE,)
