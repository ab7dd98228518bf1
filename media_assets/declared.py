"""All that is declared, in an order in which every need comes before what needs it.

Belongs here: which modules of this room declare. Does not belong here: declarations (those modules) or what becomes of
them (definitions, plain).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from media_assets.spec import Declaration, catalogue, works_of
from processing.work import Work

DECLARING = ("intake", "stills", "picture", "packaging", "sound", "spoken", "shown", "meaning", "own", "out")


@functools.cache
def declared() -> Mapping[str, Declaration]:
    """Declarations by asset name. Raises `IncompleteDeclaration` where they do not fit together."""
    modules = [importlib.import_module(f"media_assets.{name}") for name in DECLARING]
    return catalogue(declaration for module in modules for declaration in module.DECLARATIONS)


def works() -> dict[str, Work]:
    """What each of them makes, by asset name."""
    return works_of(declared())
