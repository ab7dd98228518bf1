"""What a person sees of an artifact in the UI: pictures, tables, links, in a few kilobytes.

Belongs here: the fixed, small schema and its bounds. Does not belong here: what is true of the artifact (its manifest)
or how it was made (resources/production).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from processing.manifest import FileEntry, Manifest, Outcome, Verdict

MAX_BYTES = 9_000  # an event row; more slows every page that lists events
MAX_PICTURE_BYTES = 5_000  # the data URI of one thumbnail; what is left has room for the facts
MAX_ROWS = 12  # of a table; the manifest has them all
MAX_FACTS = 30  # rows of a table of single facts: a video stream has 25
MAX_CELL = 80  # characters
SHORT_GROUP = 6  # facts of a group said in one line: four of a colour space, six reasons why loudness has no figure
PICTURE_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
THUMBNAIL_STEPS = ((320, 60), (240, 50), (200, 40), (160, 35), (120, 30))  # width in pixels, JPEG quality

INLINE_CHARACTERS = 1_000  # Dagster's UI shows shorter Markdown in the line and longer behind a link
INLINE_STEPS = ((160, 20), (128, 20), (112, 15), (96, 10), (80, 5), (64, 1))

Metadata = dict[str, dg.MetadataValue[Any]]


def artifact_metadata(
    manifest: Manifest,
    uri: str | None,
    *,
    reused: bool,
    seconds: float,
    cpu_seconds: float,
    encoder_calls: int,
    open_file: Callable[[str], Path | None],
    location: str = "",
    page: str = "",
) -> Metadata:
    """The metadata of one materialization, within `MAX_BYTES`. `location` is where the source was found, `page` the
    address of its page.

    `open_file` gives the local path of one of the artifact's files, or None where it cannot be had cheaply.
    """
    value = dg.MetadataValue
    kept: Metadata = {
        **({"file": value.text(_cell(location.rpartition("/")[2]))} if location else {}),
        **({"page": value.url(page)} if page else {}),
        "made": value.text("found in the store" if reused else "by this run"),
        "bytes": value.int(sum(entry.bytes for entry in manifest.files)),
        "files": value.int(len(manifest.files)),
        "seconds": value.float(round(float(seconds), 3)),
        "cpu_seconds": value.float(round(float(cpu_seconds), 3)),
        "encoder_calls": value.int(encoder_calls),
        "completeness": value.float(_share(manifest.completeness)),
        "determinism": value.text(manifest.determinism.value),
        "recipe": value.text(manifest.recipe_hash),
    }
    if uri:
        kept["uri"] = value.url(uri)
    optional: list[tuple[str, dg.MetadataValue[Any] | None]] = [
        *_pictures(manifest.files, open_file),
        *facts_tables(manifest.facts),
        ("largest files", _table(_file_rows(manifest.files))),
    ]
    shown: Metadata = {}
    for name, item in optional:
        if item is not None and size_of({**shown, **kept, name: item}) <= MAX_BYTES:
            shown[name] = item
    return {**shown, **kept}  # the UI keeps the order: first what a person came for


def facts_tables(facts: Mapping[str, Any]) -> list[tuple[str, dg.MetadataValue[Any] | None]]:
    """What can be said in a line as one table, then a table for each list of records and each larger group of facts."""
    tables: list[tuple[str, dg.MetadataValue[Any] | None]] = [("facts", _fact_table(facts))]
    for name, fact in facts.items():
        if isinstance(fact, Mapping) and _reading(fact) is None:
            tables.append((name, _fact_table(fact)))
        elif _is_records(fact):
            rows = [row for row in fact if isinstance(row, Mapping)]
            tables.append((name, _table([_readings(row) for row in rows])))
    return tables


def verdict_metadata(verdicts: Sequence[Verdict]) -> Metadata:
    """The clauses of a contract as one table, those that did not pass first."""
    ordered = sorted(verdicts, key=lambda verdict: verdict.outcome is Outcome.PASSED)
    table = _table([{name: _cell(text) for name, text in verdict.to_json().items()} for verdict in ordered])
    shown: Metadata = {"clauses": dg.MetadataValue.int(len(verdicts))}
    if table is not None:
        shown["verdicts"] = table
    return shown


def size_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> int:
    """Bytes of the metadata as it goes into the event."""
    packed: dict[str, Any] = dict(metadata)
    return len(dg.serialize_value(packed).encode())


def _share(rational: Mapping[str, int]) -> float:
    return round(rational["num"] / rational["den"], 6) if rational.get("den") else 1.0


def _is_records(fact: Any) -> bool:
    return isinstance(fact, Sequence) and not isinstance(fact, str) and bool(fact) and isinstance(fact[0], Mapping)


def _fact_table(facts: Mapping[str, Any]) -> dg.MetadataValue[Any] | None:
    return _table([{"fact": name, "value": text} for name, text in _readings(facts).items()], MAX_FACTS)


def _readings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Those facts that can be said in a line; what is unknown or empty is left out."""
    said = {name: _reading(fact) for name, fact in facts.items()}
    return {name: _cell(text) for name, text in said.items() if text}


def _reading(fact: Any) -> str | None:
    """One fact in a line for a person: exact times and rates also as decimals. None where it takes more than a line."""
    match fact:
        case bool():
            return "yes" if fact else "no"
        case str() | int() | float():
            return str(fact)
        case {"ticks": int(ticks), "timescale": int(timescale), **rest} if timescale and not rest:
            return f"{ticks / timescale:.3f} s ({ticks}/{timescale})"
        case {"num": int(over), "den": int(under), **rest} if under and not rest:
            return str(over) if under == 1 else f"{over / under:.6g} ({over}/{under})"
        case list() | tuple() if all(isinstance(item, str | int | float) for item in fact):
            return ", ".join(map(str, fact))
        case {} if len(fact) <= SHORT_GROUP:
            said = {name: _reading(value) for name, value in fact.items() if value not in (None, [], {})}
            if None not in said.values():
                return ", ".join(f"{name} {text}" for name, text in said.items())
    return None


def _cell(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _file_rows(files: Sequence[FileEntry]) -> list[dict[str, str]]:
    largest = sorted(files, key=lambda entry: (-entry.bytes, entry.path))
    return [{"path": _cell(entry.path), "bytes": str(entry.bytes)} for entry in largest]


def _table(rows: Sequence[Mapping[str, str]], most: int = MAX_ROWS) -> dg.MetadataValue[Any] | None:
    """A table of at most `most` rows over the union of the rows' columns; None where there is nothing to show."""
    kept = rows[:most]
    columns = list(dict.fromkeys(name for row in kept for name in row))
    if not columns:
        return None
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in columns])
    records = [dg.TableRecord({name: row.get(name, "") for name in columns}) for row in kept]
    return dg.MetadataValue.table(records=records, schema=schema)


def _pictures(
    files: Sequence[FileEntry], open_file: Callable[[str], Path | None]
) -> list[tuple[str, dg.MetadataValue[Any] | None]]:
    """The artifact's picture twice: as large as an event carries, and so small that the UI shows it in the line."""
    pictures = [entry for entry in files if Path(entry.path).suffix.lower() in PICTURE_TYPES]
    if not pictures:
        return []
    small = min(pictures, key=lambda entry: entry.bytes)
    fits = small.bytes * 4 // 3 + 64 <= MAX_PICTURE_BYTES
    chosen = small if fits else min(pictures, key=lambda entry: entry.path)
    path = open_file(chosen.path)
    if path is None:
        return []
    as_is = _markdown(path.read_bytes(), PICTURE_TYPES[path.suffix.lower()]) if fits else None
    if as_is is not None and len(as_is) < INLINE_CHARACTERS:
        return [("picture", dg.MetadataValue.md(as_is))]
    larger = as_is or _reduced(path, "JPEG", THUMBNAIL_STEPS, MAX_PICTURE_BYTES)
    tiny = _reduced(path, "WEBP", INLINE_STEPS, INLINE_CHARACTERS - 1)
    shown = [("picture", tiny), ("picture, larger", larger)]
    return [(name, dg.MetadataValue.md(text)) for name, text in shown if text is not None]


def _markdown(content: bytes, media_type: str) -> str:
    return f"![picture](data:{media_type};base64,{base64.b64encode(content).decode()})"


def _reduced(path: Path, kind: str, steps: Sequence[tuple[int, int]], most_characters: int) -> str | None:
    """Markdown of a picture of our own, made smaller step by step until it fits; None where no step does."""
    from PIL import Image

    with Image.open(path) as picture:
        shown = picture.convert("RGBA")
    opaque = Image.new("RGB", shown.size, "white")  # black would hide a drawing on nothing
    opaque.paste(shown, mask=shown.getchannel("A"))
    for width, quality in steps:
        small = opaque.copy()
        small.thumbnail((width, width))
        written = io.BytesIO()
        small.save(written, kind, quality=quality)
        text = _markdown(written.getvalue(), f"image/{kind.lower()}")
        if len(text) <= most_characters:
            return text
    return None
