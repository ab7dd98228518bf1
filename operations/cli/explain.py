"""`sourcebound explain`: is a source broken, what changed, where to look next.

Belongs here: printing the sentences and the JSON. Does not belong here: what they say (resources/explain).
"""

from __future__ import annotations

import contextlib

from operations.cli.output import print_json, show
from operations.cli.sources import find_source, open_existing
from operations.session import port_of_up
from resources.explain import explain
from resources.house import open_house
from resources.settings import Settings


def show_explanation(settings: Settings, text: str, *, as_json: bool) -> int:
    """Print the answers; status 0 whatever they are, for the question was answered. Raises `UsageProblem`."""
    port = port_of_up(settings)
    with (
        open_existing(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        row = find_source(session, text)
        found = explain(house, row.key, ui=f"http://localhost:{port}" if port else None)
    if as_json:
        print_json(found.to_json())
        return 0
    show(f"{found.source} is {found.state.replace('_', ' ')}")
    show("Is it broken?")
    for sentence in found.broken:
        show(f"  {sentence}")
    show("What changed?")
    for sentence in found.changed or ("Nothing since it was first made.",):
        show(f"  {sentence}")
    show("Where to look next?")
    for look in found.next:
        show(f"  {look.sentence}" + (f" {look.link or look.command}" if look.link or look.command else ""))
    return 0
