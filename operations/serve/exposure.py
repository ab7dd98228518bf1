"""Where the library listens, and whether that is safe: asked before anything is started, so it imports little.

Belongs here: that. Does not belong here: looking at requests (guard).
"""

from __future__ import annotations

import ipaddress

from resources.settings import Settings

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class Unguarded(ValueError):
    """The library would listen where strangers are, and nothing keeps them out; the text is a sentence."""


def is_local(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_guarded(settings: Settings) -> None:
    """Refuse to listen where strangers are without a token. Raises `Unguarded`."""
    if not is_local(settings.library_host) and not settings.library_token:
        raise Unguarded(
            f"the library would listen on {settings.library_host} for everybody; "
            "set SOURCEBOUND_LIBRARY_TOKEN, or let it listen on 127.0.0.1"
        )
