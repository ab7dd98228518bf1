"""The one pass over sound: a track is decoded once and every tap that was ordered sees its samples.

Belongs here: driving the decoder and the taps of one unit (a track), and what is said of damage. Does not belong
here: decoding (decode) or any product (the taps).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from processing.probe.splices import splices_in
from processing.sound.decode import TrackDecoder
from processing.sound.taps import SoundTap, SoundUnit
from processing.timeline import from_rational, rational
from processing.work import Result, Task, resolve


def make_unit(task: Task) -> Result:
    """Decode one track and make what `task.products` orders.

    Parameters are those of `plan.unit_parameters`. Every product's facts also hold what was wrong with the
    track. Raises `BadInput` when nothing can be decoded.
    """
    told = task.parameters
    audio: Mapping[str, Any] = told["audio"]
    start_s = from_rational(audio["start"])
    decoder = TrackDecoder(
        task.original.path,
        audio,
        origin_s=from_rational(told["origin"]),
        start_s=start_s,
        end_s=start_s + from_rational(audio["duration"]),
        splices=splices_in(told),
    )
    taps: dict[str, SoundTap] = {}
    try:
        for block in decoder.blocks():
            if not taps:
                unit = SoundUnit(int(told["track"]), decoder.rate_hz, decoder.channels)
                for order in task.products:
                    folder = task.product_folder(order.name)
                    folder.mkdir(parents=True, exist_ok=True)
                    taps[order.name] = resolve(order.tap)(unit, order.parameters, folder)
            for tap in taps.values():
                tap.samples(block)
        facts = {name: dict(tap.close()) for name, tap in taps.items()}
    except BaseException:
        for tap in taps.values():
            tap.abandon()
        raise
    common = _common_facts(decoder)
    return Result(
        product_facts={name: {**common, **own} for name, own in facts.items()},
        encoder_calls=sum(tap.encoder_calls for tap in taps.values()),
        completeness=rational(_completeness(decoder)),
        gaps=tuple(
            {"track": int(told["track"]), "start": start, "end": end, "timescale": decoder.rate_hz}
            for start, end in decoder.damage.gaps
        ),
    )


def _common_facts(decoder: TrackDecoder) -> dict[str, Any]:
    damage = decoder.damage
    return {
        "source": {
            "rate_hz": decoder.rate_hz,
            "channels": len(decoder.channels),
            "samples": decoder.samples,
            "duration": rational(Fraction(decoder.samples, decoder.rate_hz)),
        },
        "damage": {
            "packets_corrupt": damage.packets_corrupt,
            "packets_undecodable": damage.packets_undecodable,
            "samples_not_finite": damage.samples_not_finite,
            "samples_overlapping": damage.samples_overlapping,
            "samples_padding": damage.samples_padding,
            "timestamps_ignored": damage.timestamps_ignored,
            "truncated": damage.truncated,
            "gaps": [list(span) for span in damage.gaps],
            "holes": [list(span) for span in damage.holes],
        },
    }


def _completeness(decoder: TrackDecoder) -> Fraction:
    """The share of the track that is there; what is missing at the end counts to the whole."""
    whole = max([decoder.samples, *(end for _, end in decoder.damage.gaps)])
    return 1 - Fraction(decoder.damage.missing, whole)
