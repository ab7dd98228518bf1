"""The `sourcebound` command: names, options and help of every command, and what a person sees when one fails.

Belongs here: the surface. Does not belong here: any work; each command calls one function of a module that is imported
only then, so that `sourcebound status` does not wait for Dagster.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from operations.cli.output import UsageProblem, fail, say
from processing.failures import WorkFailure
from resources.settings import Settings, SettingsError, load_settings

app = typer.Typer(
    name="sourcebound",
    help="Media files in; every derivative out, each one explainable, reproducible and replaceable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STOPPED = 128 + signal.SIGINT
EXIT_NOBODY_READS = 128 + signal.SIGPIPE
P = ParamSpec("P")


def complete_source(incomplete: str) -> list[str]:
    """Keys of published sources that begin so, for shells: the folder knows them, and no database need be asked."""
    try:
        return sorted(
            path.name for path in (load_settings().home / "published").iterdir() if path.name.startswith(incomplete)
        )
    except (OSError, SettingsError):
        return []


SourceArgument = Annotated[
    str,
    typer.Argument(help="The source's key, or the beginning of it, or its file.", autocompletion=complete_source),
]
ASKED = "Words, all of them; or between two for either, -word for without, '\"a phrase\"'."
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Give a command its errors: a sentence on stderr and a status, never a traceback for what a user can cause."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(
            signal.SIGTERM, signal.default_int_handler
        )  # an early one must not skip what `finally` gives back
        try:
            status = function(*args, **kwargs)
        except KeyboardInterrupt:
            fail("stopped; what is finished stays, the same command again does the rest")
            status = EXIT_STOPPED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
            status = EXIT_NOBODY_READS
        except Exception as error:
            sentence, status = _told(error)
            if not sentence:
                raise
            fail(sentence)
        raise typer.Exit(status or 0)

    return wrapped


def _told(error: Exception) -> tuple[str, int]:
    """What a person is told of an error and the status that goes with it; nothing for a fault of ours."""
    from resources.ledger.migrate import NewerLedger
    from resources.postgres.database import PostgresError

    if isinstance(error, SettingsError | UsageProblem):
        return str(error), EXIT_USAGE
    if isinstance(error, WorkFailure):
        return error.sentence, EXIT_FAILED
    if isinstance(error, PostgresError | NewerLedger):
        return str(error), EXIT_FAILED
    if isinstance(error, OSError):
        return _told_of_the_system(error), EXIT_FAILED
    return "", EXIT_FAILED


def _told_of_the_system(error: OSError) -> str:
    from operations.session import disk_is_full

    with contextlib.suppress(SettingsError):
        if disk_is_full(home := settings().home):
            return f"the disk of {home} is full; make room, then do this again: nothing is lost"
    if error.errno is None or not isinstance(error.filename, str):
        return f"{error}; `sourcebound doctor` says what this machine lacks"
    reason = os.strerror(error.errno)
    return (
        f"{error.filename} cannot be used ({reason}); mend that, or set {_setting_of(error.filename)} to another folder"
    )


def _setting_of(path: str) -> str:
    """The setting whose folder a path lies in."""
    with contextlib.suppress(SettingsError):
        if Path(path).is_relative_to(settings().inbox):
            return "SOURCEBOUND_INBOX"
    return "SOURCEBOUND_HOME"


def settings(**overrides: Any) -> Settings:
    """The settings of this call."""
    return load_settings(**overrides)


@app.command()
@command
def up() -> int:
    """Start everything: the Dagster UI, the library on the port above, the watch on the inbox. Ctrl-C stops it."""
    from operations.supervise import AlreadyRunning, supervise

    try:
        return supervise(settings(), say)
    except AlreadyRunning as error:
        raise UsageProblem(str(error)) from None


@app.command()
@command
def process(
    paths: Annotated[list[Path], typer.Argument(help="Media files, or folders of them.", metavar="FILE_OR_FOLDER...")],
    as_json: JsonOption = False,
    only: Annotated[
        str | None,
        typer.Option(help="Make only these assets (docs/cli.md) and what they need.", metavar="ASSET,..."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="At most so many workers at once, inside the machine's permits.")
    ] = None,
) -> int:
    """Process files now, in the foreground, with or without a running sourcebound beside it."""
    from operations.cli.early import begun_nursery
    from operations.cli.files import find_files

    given = settings(workers=workers)
    found = find_files(paths, but_not=given.own_folders)
    assets = tuple(name.strip() for name in only.split(",") if name.strip()) if only is not None else None
    call_id = secrets.token_hex(8)
    with begun_nursery(given, assets, call_id=call_id, files=len(found.files)) as nursery:
        from operations.cli.process import process_files

        return process_files(given, nursery, found, assets=assets, call_id=call_id, as_json=as_json)


@app.command()
@command
def status(
    source: Annotated[str | None, typer.Argument(help="A source's key, its beginning, or its file.")] = None,
    as_json: JsonOption = False,
    state: Annotated[str | None, typer.Option(help="Only sources in this state.", metavar="STATE")] = None,
) -> int:
    """What state sources are in, and why."""
    from operations.cli.inspect import show_status

    return show_status(settings(), source, state=state, as_json=as_json)


@app.command()
@command
def artifacts(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Every artifact of a source: files, hashes, checks."""
    from operations.cli.inspect import show_artifacts

    return show_artifacts(settings(), source, as_json=as_json)


@app.command()
@command
def get(
    source: SourceArgument,
    to: Annotated[Path, typer.Option("--to", help="The folder to write into.")],
    asset: Annotated[str | None, typer.Argument(help="One asset; without it the published folder.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Copy an asset's files, or the whole published folder, self-contained."""
    from operations.cli.copy_out import get_files

    return get_files(settings(), source, asset, to, as_json=as_json)


@app.command()
@command
def verify(
    source: Annotated[str | None, typer.Argument(help="A source's key, its beginning, or its file.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Hash every file again and judge every artifact by its contract again."""
    from operations.cli.verify import verify_sources

    return verify_sources(settings(), source, as_json=as_json)


@app.command()
@command
def similar(
    source: SourceArgument,
    within: Annotated[int, typer.Option(min=0, max=64, help="Bits of 64 that two pictures may differ in.")] = 10,
    as_json: JsonOption = False,
) -> int:
    """Other sources whose pictures look like this one's."""
    from operations.cli.similar import show_similar

    return show_similar(settings(), source, within=within, as_json=as_json)


@app.command("open")
@command
def open_(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Open the page of a source in a browser; its address is printed."""
    from operations.cli.open_page import open_page

    return open_page(settings(), source, as_json=as_json)


@app.command()
@command
def share(
    source: SourceArgument,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How long the link is good.")] = 24,
    as_json: JsonOption = False,
) -> int:
    """A link to the page of a source, from a store in a bucket, for whoever is given it."""
    from operations.cli.share import share_page

    return share_page(settings(), source, hours=hours, as_json=as_json)


@app.command()
@command
def explain(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Is a source broken, what changed, where to look next: in sentences."""
    from operations.cli.explain import show_explanation

    return show_explanation(settings(), source, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})  # -ferry is a word that must not be there
@command
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(help=ASKED),
    ] = None,
    like: Annotated[str | None, typer.Option(help="A source: what looks like it is found instead of words.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Texts of sources at the most.")] = 20,
    as_json: JsonOption = False,
) -> int:
    """Where something is said, shown in the picture, summed up or known of a file."""
    from operations.cli.search import show_hits

    return show_hits(settings(), " ".join(words or ()), like=like, limit=limit, as_json=as_json)


gateway_app = typer.Typer(name="gateway", help="The way to models outside this house.", no_args_is_help=True)
app.add_typer(gateway_app)


@gateway_app.command("status")
@command
def gateway_status(as_json: JsonOption = False) -> int:
    """Limits, what they adapted to and why, breakers, queues and budgets."""
    from operations.cli.gateway import show_gateway

    return show_gateway(settings(), as_json=as_json)


models_app = typer.Typer(
    name="models",
    help="Models: which there are, how good they are, which of two is better.\n\n"
    "A model of your own is a table in `models` of sourcebound.toml: id, version, task (speech, reading, writing, "
    "vectors, labels), provider (openai_http, aws, whisper_local), model, languages, and what the provider needs: "
    "base_url and key_env, region, directory; with limits (requests_a_minute, tokens_a_minute and their bursts), "
    "price, timeout_s, retires. A table with no more than an id and such places completes one that is there.",
    invoke_without_command=True,
)
app.add_typer(models_app)


@models_app.callback()
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """What is configured, available, its version, digest and day of retirement."""
    if context.invoked_subcommand is None:
        _models(as_json=as_json)


@command
def _models(*, as_json: bool) -> int:
    from operations.cli.models import show_models

    return show_models(settings(), as_json=as_json)


@models_app.command("hold")
@command
def models_hold(
    release: Annotated[str, typer.Argument(help="The id of a release, or id@version.")], as_json: JsonOption = False
) -> int:
    """Hold a release against the golden set of its task: only what passes may stand in for another."""
    from operations.cli.models import hold_model

    return hold_model(settings(), release, as_json=as_json)


@models_app.command("compare")
@command
def models_compare(
    first: Annotated[str, typer.Argument(help="The id of a release, or id@version.")],
    second: Annotated[str, typer.Argument(help="The other one, of the same task.")],
    as_json: JsonOption = False,
) -> int:
    """Whether the second of two releases is better, worse, or nobody can say, by the golden set of their task."""
    from operations.cli.models import compare_models

    return compare_models(settings(), first, second, as_json=as_json)


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"sourcebound {version('sourcebound')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda asked: _version(asked=asked), is_eager=True, help="Its version."),
    ] = False,
) -> None:
    """Media files in; every derivative out, each one explainable, reproducible and replaceable."""


def _control(action: str, source: str, *, as_json: bool) -> int:
    from operations.cli.steer import control

    return control(settings(), source, action, as_json=as_json)


@app.command()
@command
def cancel(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Stop work on a source for good; what is published stays."""
    return _control("cancel", source, as_json=as_json)


@app.command()
@command
def retry(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Try again what failed, was quarantined, bounded or cancelled."""
    return _control("retry", source, as_json=as_json)


@app.command()
@command
def pause(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Stop work on a source until `retry` or `hurry`."""
    return _control("pause", source, as_json=as_json)


@app.command()
@command
def hurry(source: SourceArgument, as_json: JsonOption = False) -> int:
    """Put a source before the others; a paused one goes on."""
    return _control("hurry", source, as_json=as_json)


@app.command()
@command
def doctor(as_json: JsonOption = False) -> int:
    """What this machine offers and what stands in the way, each with its cure."""
    from operations.cli.doctor import examine

    return examine(settings(), as_json=as_json)
