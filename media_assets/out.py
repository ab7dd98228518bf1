"""The declaration of what leaves the house: the release people link to.

Belongs here: what the platform must know of it. Does not belong here: what a release consists of (processing/release)
or where it is laid out (resources/store/published).
"""

from __future__ import annotations

from datetime import timedelta

from media_assets import own
from media_assets.departments import out_asset
from processing import release
from processing.manifest import DeterminismClass
from processing.pages import dossier_plan
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
            *own.OF_MEDIA,
        ),
        awaits=("transcript", "captions", "screen_text", "summary", "labels", "embeddings", *own.WITH_WORDS),
        taps=(release.SOUND_ALONE_TAP,),
        names_source=True,
        publishes=True,
        links=True,
        encodes=False,
        parameters=release.parameters,
        applies=release.applies,
    ),
    description="What people link to: playlist, manifest, poster, file and index under stable names.",
    kinds=("video", "audio", "image"),
    latency=timedelta(minutes=6),
)

DOSSIER = out_asset(
    work=Work(
        asset=dossier_plan.ASSET,
        code_version=dossier_plan.CODE_VERSION,
        operation="processing.pages.dossier:make",
        contract="processing.contracts.dossier:contract",
        # Texts and pictures of others; six hours of words are 5 MB of JSON to read.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.01, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.C,  # it tells what everything took
        needs=("media_info",),
        awaits=(*dossier_plan.TOLD_OF, *own.OF_MEDIA, *own.WITH_WORDS),
        taps=(release.SOUND_ALONE_TAP,),
        names_source=True,
        links=True,
        records=True,
        encodes=False,
        parameters=dossier_plan.parameters,
        applies=dossier_plan.applies,
    ),
    description="The page of a source: player, words, shots, checks, lineage, cost. Opens from a disk too.",
    kinds=("video", "audio", "image"),
    latency=timedelta(minutes=7),
)

DECLARATIONS = (RELEASE, DOSSIER)
