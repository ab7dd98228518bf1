"""The library's own process: `python -m operations.serve.program`, started and kept alive by the supervisor.

Belongs here: opening the house, the server, its end. Does not belong here: what it answers (application).
"""

from __future__ import annotations

import contextlib
import sys

import uvicorn

from operations.serve.application import application
from operations.serve.exposure import Unguarded
from operations.session import open_session
from resources.house import open_house
from resources.settings import load_settings

END_S = 2  # what is under way then is cut off; uploads go on where they were


def main() -> int:
    """Serve until told to stop."""
    settings = load_settings()
    with (
        open_session(settings) as session,
        contextlib.closing(open_house(settings, session.database_url)) as house,
    ):
        try:
            app = application(settings, house)
        except Unguarded as told:
            print(told, file=sys.stderr)  # noqa: T201  the supervisor's log
            return 2
        uvicorn.run(
            app,
            host=settings.library_host,
            port=settings.library_at,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=END_S,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
