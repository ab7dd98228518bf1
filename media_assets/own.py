"""The declarations of derivatives of one's own: each module of `processing/derivatives`.

Belongs here: from their short form to a declaration. Does not belong here: the derivatives.
"""

from __future__ import annotations

from typing import cast

from media_assets.departments import own_asset
from media_assets.spec import Kind
from processing.derivative import found

DECLARATIONS = tuple(
    own_asset(
        work=each.work,
        description=each.description,
        owner=each.owner,
        kinds=cast("tuple[Kind, ...]", each.kinds),
        latency=each.latency,
    )
    for each in found()
)
NAMES = tuple(each.name for each in DECLARATIONS)
