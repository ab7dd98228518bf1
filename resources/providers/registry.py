"""Providers by the kind their releases name.

Belongs here: the list. Does not belong here: which release is asked (resources/releases, resources/gateway).
"""

from __future__ import annotations

from pathlib import Path

from resources.compute.port import ComputePort
from resources.providers.port import Provider

KINDS = ("aws", "embedded", "openai_http", "whisper_local")


def by_name(kind: str, *, compute: ComputePort, scratch: Path) -> Provider:
    """A provider of a kind; `compute` is for what this machine answers, with work laid out in `scratch`.

    Raises ValueError for no such kind.

    What a kind needs is imported when it is asked for: the SDKs take up to 0.7 s.
    """
    if kind == "aws":
        from resources.providers.aws import Aws

        return Aws()
    if kind == "embedded":
        from resources.providers.embedded import Embedded

        return Embedded(compute, scratch)
    if kind == "openai_http":
        from resources.providers.openai_http import OpenAiHttp

        return OpenAiHttp()
    if kind == "whisper_local":
        from resources.providers.whisper_local import WhisperLocal

        return WhisperLocal(compute)
    raise ValueError(f"{kind!r} is no provider; there are {', '.join(KINDS)}")
