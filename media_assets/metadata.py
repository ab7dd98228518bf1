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

MAX_BYTES = 8_000  # an event row; more slows every page that lists events
MAX_PICTURE_BYTES = 6_000  # the data URI of one thumbnail
MAX_ROWS = 12  # of a table; the manifest has them all
MAX_CELL = 80  # characters
PICTURE_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
THUMBNAIL_STEPS = ((320, 60), (240, 50), (200, 40), (160, 35), (120, 30))  # width in pixels, JPEG quality

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
) -> Metadata:
    """The metadata of one materialization, within `MAX_BYTES`.

    `open_file` gives the local path of one of the artifact's files, or None where it cannot be had cheaply.
    """
    value = dg.MetadataValue
    shown: Metadata = {
        "bytes": value.int(sum(entry.bytes for entry in manifest.files)),
        "files": value.int(len(manifest.files)),
        "seconds": value.float(round(float(seconds), 3)),
        "cpu_seconds": value.float(round(float(cpu_seconds), 3)),
        "encoder_calls": value.int(encoder_calls),
        "made": value.text("found" if reused else "made"),
        "recipe": value.text(manifest.recipe_hash),
        "determinism": value.text(manifest.determinism.value),
        "completeness": value.float(_share(manifest.completeness)),
    }
    if uri:
        shown["uri"] = value.url(uri)
    optional: list[tuple[str, dg.MetadataValue[Any] | None]] = [
        ("picture", _picture(manifest.files, open_file)),
        *facts_tables(manifest.facts),
        ("largest files", _table(_file_rows(manifest.files))),
    ]
    for name, item in optional:
        if item is not None and size_of({**shown, name: item}) <= MAX_BYTES:
            shown[name] = item
    return shown


def facts_tables(facts: Mapping[str, Any]) -> list[tuple[str, dg.MetadataValue[Any] | None]]:
    """Every list of flat records among the facts as a table, and the plain values as one more."""
    plain = [{"fact": name, "value": _cell(fact)} for name, fact in facts.items() if _is_plain(fact)]
    tables: list[tuple[str, dg.MetadataValue[Any] | None]] = [("facts", _table(plain))]
    for name, fact in facts.items():
        if isinstance(fact, Mapping):
            rows = [{"fact": key, "value": _cell(item)} for key, item in fact.items() if _is_plain(item)]
            tables.append((name, _table(rows)))
        elif isinstance(fact, Sequence) and not isinstance(fact, str) and fact and isinstance(fact[0], Mapping):
            tables.append((name, _table([_flat(row) for row in fact if isinstance(row, Mapping)])))
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


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: _cell(value) for name, value in row.items() if _is_plain(value) and value is not None}


def _cell(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _file_rows(files: Sequence[FileEntry]) -> list[dict[str, str]]:
    largest = sorted(files, key=lambda entry: (-entry.bytes, entry.path))
    return [{"path": _cell(entry.path), "bytes": str(entry.bytes)} for entry in largest]


def _table(rows: Sequence[Mapping[str, str]]) -> dg.MetadataValue[Any] | None:
    """A table of at most `MAX_ROWS` rows over the union of the rows' columns; None where there is nothing to show."""
    kept = rows[:MAX_ROWS]
    columns = list(dict.fromkeys(name for row in kept for name in row))
    if not columns:
        return None
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in columns])
    records = [dg.TableRecord({name: row.get(name, "") for name in columns}) for row in kept]
    return dg.MetadataValue.table(records=records, schema=schema)


def _picture(files: Sequence[FileEntry], open_file: Callable[[str], Path | None]) -> dg.MetadataValue[Any] | None:
    """A thumbnail of the artifact's first picture as Markdown with a data URI, or None where it has none."""
    pictures = [entry for entry in files if Path(entry.path).suffix.lower() in PICTURE_TYPES]
    if not pictures:
        return None
    small = min(pictures, key=lambda entry: entry.bytes)
    fits = small.bytes * 4 // 3 + 64 <= MAX_PICTURE_BYTES
    chosen = small if fits else min(pictures, key=lambda entry: entry.path)
    path = open_file(chosen.path)
    if path is None:
        return None
    if fits:
        uri = _data_uri(path.read_bytes(), PICTURE_TYPES[Path(chosen.path).suffix.lower()])
        return dg.MetadataValue.md(f"![{Path(chosen.path).name}]({uri})")
    thumbnail = _thumbnail(path)
    if thumbnail is None:
        return None
    return dg.MetadataValue.md(f"![{Path(chosen.path).name}]({_data_uri(thumbnail, 'image/jpeg')})")


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _thumbnail(path: Path) -> bytes | None:
    """A JPEG small enough for an event, made from a picture of our own; None where it cannot be made so small."""
    from PIL import Image

    with Image.open(path) as picture:
        opaque = picture.convert("RGB")
    for width, quality in THUMBNAIL_STEPS:
        small = opaque.copy()
        small.thumbnail((width, width))
        written = io.BytesIO()
        small.save(written, "JPEG", quality=quality)
        if written.tell() * 4 // 3 + 64 <= MAX_PICTURE_BYTES:
            return written.getvalue()
    return None
