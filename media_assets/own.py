"""The declarations of derivatives of one's own: each module of `processing/derivatives`.

Belongs here: from their short form to a declaration. Does not belong here: the derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from media_assets import meaning, shown, spoken
from media_assets.departments import own_asset, own_words_asset
from media_assets.spec import Declaration, Kind
from processing.derivative import Derivative, found

_BUILT_IN_WORDS = {each.name for module in (spoken, shown, meaning) for each in module.DECLARATIONS}


def _of_words(derivatives: Sequence[Derivative]) -> set[str]:
    """Those that are made with words: they ask models, or need what does, directly or through others."""
    reached, before = set(_BUILT_IN_WORDS), 0
    while len(reached) != before:
        before = len(reached)
        reached |= {
            each.work.asset for each in derivatives if each.work.asks or reached.intersection(each.work.comes_after)
        }
    return reached - _BUILT_IN_WORDS


def _declared(derivatives: Sequence[Derivative]) -> tuple[Declaration, ...]:
    of_words = _of_words(derivatives)
    return tuple(
        (own_words_asset if each.work.asset in of_words else own_asset)(
            work=each.work,
            description=each.description,
            owner=each.owner,
            kinds=cast("tuple[Kind, ...]", each.kinds),
            latency=each.latency,
        )
        for each in derivatives
    )


DECLARATIONS = _declared(found())
OF_MEDIA = tuple(each.name for each in DECLARATIONS if each.part == "media")
WITH_WORDS = tuple(each.name for each in DECLARATIONS if each.part == "words")
