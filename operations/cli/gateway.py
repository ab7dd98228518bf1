"""`sourcebound gateway status`: what may be asked of whom now, what waits, what was spent.

Belongs here: the table and the JSON. Does not belong here: what they say (resources/gateway/status).
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict

from operations.cli.output import print_json, say, show, show_table
from operations.cli.sources import open_existing
from resources.gateway.budget import today
from resources.gateway.clock import DatabaseClock
from resources.gateway.status import DependencyStatus, dependencies, spending
from resources.postgres.database import engine
from resources.settings import Settings
from resources.words_desk import BUDGET_OF_A_DAY


def show_gateway(settings: Settings, *, as_json: bool) -> int:
    """Print every dependency that was ever called, its queues, and the budgets."""
    day = today(DatabaseClock())
    limits = {} if settings.budget_usd_a_day is None else {(BUDGET_OF_A_DAY, day): settings.budget_usd_a_day}
    with open_existing(settings) as session, contextlib.ExitStack() as stack:
        connections = engine(session.database_url)
        stack.callback(connections.dispose)
        found, spent = dependencies(connections), spending(connections, limits)
    if as_json:
        print_json({"dependencies": [each.to_json() for each in found], "budgets": [asdict(each) for each in spent]})
        return 0
    if not found:
        say("no model outside this house was asked yet")
    else:
        show_table(
            ("dependency", "at once", "breaker", "left a minute", "last minute"), [_line(each) for each in found]
        )
    for each in found:
        show(f"{each.name}: {each.breaker_reason or each.at_once_reason}")
        for name, queue in each.queues.items():
            drained = "until the breaker closes" if queue.drained_s is None else f"about {queue.drained_s:.0f} s"
            show(f"{each.name}: {queue.waiting} {name} wait, the oldest for {queue.oldest_s:.0f} s, {drained}")
    for budget in spent:
        of = "" if budget.limit_usd is None else f" of {budget.limit_usd:g}"
        show(
            f"budget {budget.scope} {budget.period}: {budget.spent_usd:.4f}{of} USD, {budget.reserved_usd:.4f} reserved"
        )
    return 0


def _line(each: DependencyStatus) -> tuple[str, str, str, str, str]:
    minute = f"{each.well} well, {each.refused} refused, {each.failed} failed, {each.retries} again"
    left = ", ".join(
        f"{left:,.0f}/{limit:,.0f} {what}"
        for what, left, limit in (
            ("requests", each.requests_left, each.requests_a_minute),
            ("tokens", each.tokens_left, each.tokens_a_minute),
        )
        if left is not None and limit is not None
    )
    return each.name, f"{each.under_way}/{each.at_once}", each.breaker.replace("_", " "), left or "no limit", minute
