"""The declarations of sound: the pass over every track, loudness and waveforms.

Belongs here: what the platform must know of them. Does not belong here: how they are made (processing/sound) or judged
(processing/contracts).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from media_assets.departments import sound_asset
from processing.manifest import DeterminismClass
from processing.sound import plan, speech_plan
from processing.words import subtitles_plan
from processing.work import Bounds, Work


def _tracks(info: Mapping[str, Any], _options: Mapping[str, Any]) -> Mapping[str, Any]:
    """How many tracks a report is about."""
    return {"tracks": len(info["audio"])}


SOUNDTRACK = sound_asset(
    work=Work(
        asset=plan.PASS,
        code_version=plan.PASS_CODE_VERSION,
        operation="processing.sound.sound_pass:make_unit",
        contract="processing.contracts.soundtrack:contract",
        unit_contract="processing.contracts.soundtrack:contract_unit",
        # Measured: 0.02 CPU-s a second of stereo, 0.04 of 5.1, peak 126 and 163 MB. The rest is for a busy machine.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.5, memory_mb=512, output_mb=4096),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(plan.FLAC_TAP, plan.AAC_TAP),
        reads_source=True,
        is_pass=True,
        unit_parameters=plan.unit_parameters,
        applies=plan.applies,
    ),
    description="Every track decoded once: 16 kHz mono FLAC for recognisers, AAC for people, measurements for reports.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=2),
)

LOUDNESS = sound_asset(
    work=Work(
        asset="loudness",
        code_version="1",
        operation="processing.sound.loudness:make",
        contract="processing.contracts.loudness:contract",
        bounds=Bounds(wall_base_s=30, wall_per_media_s=0.05, memory_mb=384),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(plan.LOUDNESS_BLOCKS_TAP, plan.AAC_TAP),  # the contract listens to the AAC
        encodes=False,
        parameters=_tracks,
        applies=plan.applies,
    ),
    description="EBU R 128 of every track: integrated loudness, range, maxima, true peak, and the curve over time.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=3),
)

WAVEFORM = sound_asset(
    work=Work(
        asset="waveform",
        code_version="1",
        operation="processing.sound.waveform:make",
        contract="processing.contracts.waveform:contract",
        bounds=Bounds(wall_base_s=30, wall_per_media_s=0.05, memory_mb=384),
        determinism=DeterminismClass.A,
        needs=("media_info",),
        taps=(plan.PEAKS_TAP, plan.FLAC_TAP),  # the contract listens to the FLAC
        encodes=False,
        parameters=_tracks,
        applies=plan.applies,
    ),
    description="Waveforms of every track: audiowaveform JSON, version 2, and pictures for people.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=3),
)

SPEECH_MAP = sound_asset(
    work=Work(
        asset="speech_map",
        code_version=speech_plan.CODE_VERSION,
        operation="processing.sound.speech:make",
        contract="processing.contracts.speech_map:contract",
        # Measured: 0.05 CPU-s a second of sound, half a second for the excerpts that the contract hears again.
        bounds=Bounds(wall_base_s=60, wall_per_media_s=0.5, memory_mb=384, output_mb=64),
        determinism=DeterminismClass.C,  # a network computed in floats, by whatever instructions the machine has
        needs=("media_info",),
        taps=(plan.FLAC_TAP,),
        encodes=False,
        parameters=speech_plan.parameters,
        applies=plan.applies,
    ),
    description="Where somebody speaks: voice activity of every track, as probabilities and as segments.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=3),
)

SUBTITLES = sound_asset(
    work=Work(
        asset=subtitles_plan.ASSET,
        code_version=subtitles_plan.CODE_VERSION,
        operation="processing.words.subtitles:make",
        contract="processing.contracts.subtitles:contract",
        bounds=Bounds(wall_base_s=120, wall_per_media_s=0.1, memory_mb=384, output_mb=64),  # reads the whole file once
        determinism=DeterminismClass.A,
        needs=("media_info",),
        reads_source=True,
        reads_texts=True,
        encodes=False,
        parameters=subtitles_plan.parameters,
        applies=subtitles_plan.applies,
    ),
    description="The texts a source comes with, embedded or beside it, as WebVTT on its timeline.",
    kinds=("video", "audio"),
    latency=timedelta(minutes=2),
)

DECLARATIONS = (SOUNDTRACK, LOUDNESS, WAVEFORM, SPEECH_MAP, SUBTITLES)
