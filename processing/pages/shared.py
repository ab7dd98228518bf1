"""A page for who has no access: every file it refers to under an address of its own, in one HTML text. Pure.

Belongs here: exchanging names for addresses. Does not belong here: making those (resources/sharing), or the page
(dossier).

Playlists and segments cannot each be asked for by an address that is signed beforehand, so such a page plays one file,
as one that is opened from a disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from html import escape, unescape
from typing import Any

from processing.pages.rendering import data_block

_REFERENCE = re.compile(r'\b(href|src|poster)="([^"#]+)"')
_PLAYER = '<script src="hls.min.js"></script>'
_DATA = re.compile(r'(<script type="application/json" id="data">)(.*?)(</script>)', re.DOTALL)
Address = Callable[[str], str]


def with_addresses(page: str, names: Iterable[str], address: Address) -> str:
    """The page with `address(name)` for each of the names that it refers to, in its markup and its data."""
    known = set(names)

    def exchanged(found: re.Match[str]) -> str:
        attribute, name = found[1], unescape(found[2])
        return f'{attribute}="{escape(address(name))}"' if name in known else found[0]

    before, start, data, end, after = _DATA.split(page.replace(_PLAYER, ""), maxsplit=1)
    told = data_block(_told(json.loads(data), address))
    return f"{_REFERENCE.sub(exchanged, before)}{start}{told}{end}{_REFERENCE.sub(exchanged, after)}"


def _told(told: dict[str, Any], address: Address) -> dict[str, Any]:
    """The data with addresses of what its script shows and plays."""
    play, shots, board = told["play"], told["shots"], told["storyboard"]
    single = {name: play[name] and address(play[name]) for name in ("file", "poster", "still")}
    stills = [[start, end, still and address(shots["folder"] + still)] for start, end, still in shots["list"]]
    sheets = [{**sheet, "file": address(sheet["file"])} for sheet in board["sheets"]] if board else []
    return {
        **told,
        "play": {**play, **single, "hls": None, "sound": [address(name) for name in play["sound"]]},
        "shots": {"folder": "", "list": stills},
        "storyboard": {**board, "sheets": sheets} if board else None,
    }
