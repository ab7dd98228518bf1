"""Commands that steer: cancel, retry, pause, hurry, each a recorded decision.

Belongs here: what a person is told. Does not belong here: what an action does to states (resources/ledger/decisions).
"""

from __future__ import annotations

import contextlib

from operations.cli.output import fail, print_json, say
from operations.cli.sources import find_source, open_existing
from operations.session import Session
from resources import run_tags
from resources.ledger.rows import Action, SourceRow
from resources.settings import Settings
from resources.status import EXIT_NOT_READY, EXIT_READY, overall


def control(settings: Settings, text: str, action: str, *, as_json: bool) -> int:
    """Cancel, retry, pause or hurry a source. Raises `UsageProblem` where none is meant.

    A retry looks at the file again first: it may be readable by now, have a mended sidecar, or other bytes.
    """
    with open_existing(settings) as session:
        row = find_source(session, text)
        sentence = None
        if Action(action) is not Action.RETRY or _taken_in_again(session, row):
            why = "asked for on the command line"
            sentence = session.ledger.control(row.key, action, actor=run_tags.CLI, reason=why)
            say(f"{row.key} {sentence}")
        if as_json:
            state, _ = overall(session.ledger.states(row.key))
            print_json({"source": row.key, "state": state.value, "sentence": sentence})
        return EXIT_READY if sentence is not None else EXIT_NOT_READY


def _taken_in_again(session: Session, row: SourceRow) -> bool:
    """Read the file once more, as an arrival; False where another source or a refusal came of it, which is told.

    What the store holds of it is looked at too: what is damaged is removed, so that it is made again, and an original
    that is damaged is kept anew.
    The source goes on to require what it did, unless its sidecar or a rule names assets.
    """
    from media_assets.declared import declared, works
    from media_assets.plain import door_of
    from resources.house import open_house
    from resources.intake import register_files, was_refused
    from resources.repair import mend_original, remove_damaged

    with contextlib.closing(open_house(session.settings, session.database_url)) as house:
        door = door_of(declared(), else_only=list(session.ledger.states(row.key)))
        registrations = register_files(house, [row.path], door, actor=run_tags.CLI)
        if registrations and registrations[0].source_key == row.key and mend_original(house, row):
            say(f"the original of {row.key} was gone or damaged and is kept again")
        for asset, reason in remove_damaged(house, works(), row.key, actor=run_tags.CLI).items():
            say(f"{asset} of {row.key} is made again: {reason}")
    if not registrations:
        return True  # the file is gone; what was kept of it may do
    key = registrations[0].source_key
    if key != row.key:
        say(f"the file has other bytes now: they are source {key}, in the place of {row.key}")
        return False
    states = session.ledger.states(key)
    if was_refused(states):
        fail(f"{key} is refused again: {overall(states)[1]}")
        return False
    return True
