"""Templates to texts: everything escaped but what this house drew itself.

Belongs here: the template engine and how data enters a page. Does not belong here: what a page says.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES, STATIC = Path(__file__).parent / "templates", Path(__file__).parent / "static"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: str, **values: Any) -> str:
    """A template with its values."""
    return _environment().get_template(template).render(**values)


def data_block(value: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment.

    HTML Standard, 4.12.1.3: restrictions for contents of script elements.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in ("&", "<", ">", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  escaped above
