"""The questions of one derivative, put to the gateway: several at once, each answered or the first failure told.

Belongs here: from an operation's asks to orders, and doing them side by side. Does not belong here: one call
(gateway) or what is done with answers (production).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

from processing.asking import Ask
from processing.failures import Interrupted, WorkFailure
from processing.manifest import Manifest
from processing.work import Work
from resources.attempts import RunFacts
from resources.gateway.gateway import Order
from resources.gateway.limits import class_of_priority
from resources.house import House
from resources.ledger.rows import SourceRow

AT_ONCE = 8  # threads of one derivative that wait for answers; how many may really ask is the governor's to say


def reader_of(work: Work) -> str:
    """Who reads the answers a work asks for: a version that was raised may find sense where there was none."""
    return f"{work.asset} {work.code_version}"


def answered(
    house: House,
    source: SourceRow,
    work: Work,
    asks: Sequence[Ask],
    folder: Path,
    run: RunFacts,
    attempt_id: int,
    *,
    going: Callable[[], None],
    without: Collection[str] = (),
) -> Mapping[str, Manifest]:
    """The answers by the names of their asks, whose files lie below `folder`.

    What was answered stays answered: after a failure the next run asks only what is left. Raises the first failure, an
    `Interrupted` before any other, when all that were begun have ended.
    """
    release = house.words.chosen(source, work.asks, without)
    orders = [
        Order(
            ask=ask,
            files={role: folder / path for role, path in ask.payload.items()},
            release=release[ask.task],
            source=source.key,
            asset=work.asset,
            reader=reader_of(work),
            run_id=run.run_id,
            correlation=run.correlation,
            call_class=class_of_priority(source.priority),
            going=going,
            made_by=house.made_by(run, attempt_id),
        )
        for ask in asks
    ]
    total_s = sum(ask.media_s for ask in asks)
    done_s = 0.0
    found: dict[str, Manifest] = {}
    failures: list[WorkFailure] = []
    with ThreadPoolExecutor(min(AT_ONCE, len(orders)), thread_name_prefix="ask") as threads:
        futures = [(order.ask, threads.submit(house.words.gateway.obtain, order)) for order in orders]
        for ask, future in futures:
            try:
                found[ask.name] = future.result()
            except CancelledError:
                continue
            except WorkFailure as failure:
                failures.append(failure)
                for _, other in futures:
                    other.cancel()
                continue
            done_s += ask.media_s
            if total_s:
                house.ledger.progress(source.key, work.asset, done_s=done_s, total_s=total_s)
    if failures:
        raise next((each for each in failures if isinstance(each, Interrupted)), failures[0])
    return found
