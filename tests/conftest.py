"""Rules that hold for every test: nobody logs an error unnoticed, and no required judge is skipped.

Belongs here: what applies to all tests. Fixtures of one area live in its own test module.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator

import pytest

from resources.postgres.place import abandoned

pytest_plugins = ("tests.database", "tests.house")  # `database_url`, `ledger_url`, `ledger`; `house` with workers

ROOMS = ("sensors", "media_assets", "processing", "resources", "operations")
NEEDS_SERVICE = ("services", "browser")


@pytest.fixture(autouse=True)
def _no_unexpected_error_is_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Own code that logs at ERROR fails the test, unless it is marked `logs_errors`."""
    yield
    if request.node.get_closest_marker("logs_errors"):
        return
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    errors = [
        f"{record.name}: {record.getMessage()}"
        for record in records
        if record.levelno >= logging.ERROR and record.name.partition(".")[0] in ROOMS
    ]
    if errors:
        pytest.fail("logged at ERROR, which no mark expects: " + "; ".join(errors), pytrace=False)


def pytest_sessionfinish() -> None:
    """Databases that root's servers kept outside homes which the tests made."""
    for folder, home in abandoned():
        if home.is_relative_to(tempfile.gettempdir()):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With `SOURCEBOUND_REQUIRE_SERVICES=1` a test that skips for want of its service or browser has failed.

    A corpus is no service: it may be absent where everything that can be installed is there.
    """
    report = yield
    required = os.environ.get("SOURCEBOUND_REQUIRE_SERVICES") == "1"
    if (
        required
        and report.skipped
        and "needs the corpus" not in str(report.longrepr)
        and any(item.get_closest_marker(name) for name in NEEDS_SERVICE)
    ):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but its service is required here: {report.longrepr}"
    return report
