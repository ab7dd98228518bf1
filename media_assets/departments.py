"""What all derivatives of one field have in common: who owns them, their group, pool, retries and freshness.

Belongs here: those answers, each given once; calling one with the rest gives a complete declaration. Does not belong
here: the values they refer to (policies), what a declaration must have (spec), the declarations themselves.
"""

from __future__ import annotations

import functools

from media_assets.policies import DAY, INTAKE_POOL, OUT_POOL, PICTURE_POOL, PROVIDER, SOUND_POOL, STORAGE, WORDS_POOL
from media_assets.spec import Declaration

intake_asset = functools.partial(
    Declaration, owner="intake", group="intake", pool=INTAKE_POOL, retry=STORAGE, freshness=365 * DAY
)
picture_asset = functools.partial(
    Declaration, owner="picture", group="picture", pool=PICTURE_POOL, retry=STORAGE, freshness=30 * DAY
)
sound_asset = functools.partial(
    Declaration, owner="sound", group="sound", pool=SOUND_POOL, retry=STORAGE, freshness=30 * DAY
)
words_asset = functools.partial(
    Declaration,
    owner="words",
    group="words",
    pool=WORDS_POOL,
    retry=PROVIDER,
    freshness=30 * DAY,
    part="words",
)
own_asset = functools.partial(Declaration, group="own", pool=PICTURE_POOL, retry=STORAGE, freshness=30 * DAY)
own_words_asset = functools.partial(
    Declaration, group="own", pool=WORDS_POOL, retry=PROVIDER, freshness=30 * DAY, part="words"
)
out_asset = functools.partial(Declaration, owner="out", group="out", pool=OUT_POOL, retry=STORAGE, freshness=30 * DAY)
