"""What decides about packaging before any media is touched: does it apply, and with which parameters.

Belongs here: pure functions of media_info's facts and of the options. Does not belong here: anything that imports av.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CODE_VERSION = "1"  # raised when the same products would be packaged into other bytes


def applies(info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    """None, or the sentence why there is nothing to package."""
    if info.get("video") or info.get("audio"):
        return None
    return "a still picture has no timeline to stream"


def parameters(_info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's parameters: the language to state for tracks that state none.

    Rungs and tracks come from the products, the titles and languages from media_info; both are inputs already.
    """
    return {"language": options.get("language")}
