"""The page of one source, a folder that opens from a disk as from a server: facts in, folder out.

Belongs here: what the template is given, the files. Does not belong here: reading outputs (told), rows of tables
(tables), the picture of the lineage (lineage), what the page looks like and does (templates, static).

The page holds all it says, and asks nobody for anything but the media beside it, which are links to other artifacts
(the fact `links`, as of a release). Where browsers may fetch, it plays adaptively; from a disk they may not, and it
plays one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.completeness import WHOLE, carried
from processing.pages import tables
from processing.pages.dossier_plan import PAGE
from processing.pages.lineage import picture
from processing.pages.rendering import STATIC, data_block, rendered
from processing.pages.told import links_of, told_of
from processing.release import COMPLETE
from processing.words.corrections_plan import UNREVIEWED
from processing.work import Input, Result, Task

FILES = ("page.css", "dossier.css", "page.js", "dossier.js")
PLAYER = ("hls.min.js", "hls.LICENSE.txt")
# No other host, no inline script: names and texts of a source stay text, whatever is in them. The scheme `file:` is
# named for pages opened from a disk, which have no host.
POLICY = (
    "default-src 'none'",
    "script-src 'self' file:",
    "style-src 'self' file: 'unsafe-inline'",
    "img-src 'self' file: data: blob:",
    "media-src 'self' file: blob:",
    "connect-src 'self'",
    "worker-src blob:",
    "base-uri 'none'",
    "form-action 'self'",
)
KINDS = {"video": "film", "audio": "sound", "image": "still"}
TROUBLE = ("failed", "quarantined", "bounded", "cancelled", "waiting", "stale")


def make(task: Task) -> Result:
    """Write the page and its files. Inputs: `media_info` and whatever else there is; parameters: dossier_plan."""
    told = told_of(task.inputs, task.parameters["rules"])
    links = links_of(task.inputs)
    task.out.mkdir(parents=True, exist_ok=True)
    page = rendered("dossier.html.j2", **page_values(task, told, links))
    (task.out / PAGE).write_text(page, encoding="utf-8", newline="\n")
    for name in (*FILES, *(PLAYER if told["play"]["hls"] else ())):
        (task.out / name).write_bytes((STATIC / name).read_bytes())
    return Result(facts={"page": PAGE, "links": links, "moment": task.parameters["moment"], "title": title_of(task)})


def page_values(task: Task, told: Mapping[str, Any], links: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """All that the template says."""
    record = task.parameters["record"]
    info = task.inputs["media_info"]
    assets = tables.assets_of(record)
    play, screen = told["play"], told["screen"]
    is_complete = task.parameters["moment"] == COMPLETE
    return {
        "policy": "; ".join(POLICY),
        "title": title_of(task),
        "key": str(task.parameters.get("source", {}).get("source") or ""),
        "kind_says": KINDS.get(info.facts["kind"], info.facts["kind"]),
        "length": tables.clock(info.facts.get("duration")),
        "length_s": (told["duration_ms"] or 0) / 1000,
        "moment": task.parameters["moment"],
        "moment_says": "complete" if is_complete else "playable; words are still to come",
        "partial": _partial(task.inputs),
        "troubles": [each for each in assets if each["state"] in TROUBLE],
        "plays": bool(play["hls"] or play["file"] or play["sound"]),
        "plays_adaptively": play["hls"] is not None,
        "has_picture": bool(play["hls"] or play["file"]),
        "poster": play["poster"],
        "still": play["still"],
        "has_shots": bool(told["shots"]["list"]),
        "has_summary": told["summary"] is not None,
        "has_transcript": bool(told["transcript"]),
        "has_screen": screen is not None,
        "has_lines": bool(screen and screen["lines"]),
        "has_labels": told["labels"] is not None,
        "seen_besides": _seen_besides(told["labels"]),
        "no_words": _no_words(assets, is_complete=is_complete),
        "loudness": _loudness(told["loudness"]),
        "facts": tables.facts_of(info, task.parameters.get("source", {})),
        "gaps": tables.gaps_of(task.inputs),
        "lineage": picture(record),
        "assets": assets,
        "total": tables.total_of(record),
        "classes": sorted(tables.CLASSES.items()),
        "downloads": tables.downloads_of(links, task.inputs),
        "ai": _by_machine(task.inputs),
        "data": data_block(told),
    }


def title_of(task: Task) -> str:
    """What a person calls the source: what was said of it, what its file says, or its file's name."""
    source = task.parameters.get("source", {})
    named = task.inputs["media_info"].facts["format"].get("title")
    return str(source.get("title") or named or source.get("file_name") or source.get("source") or "untitled")


def _partial(inputs: Mapping[str, Input]) -> str:
    share = carried(WHOLE, {name: item.completeness for name, item in inputs.items()}, ())
    if share["num"] == share["den"]:
        return ""
    return f"{100 * share['num'] / share['den']:.1f} % of it could be read"


def _by_machine(inputs: Mapping[str, Input]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "model": " ".join(str(item.facts["model"].get(part) or "") for part in ("id", "version")).strip(),
            "review": item.facts.get("review") or UNREVIEWED,
            "by": ", ".join(item.facts.get("reviewed_by") or ()),
            "warned": list(item.warned),
        }
        for name, item in inputs.items()
        if item.facts.get("ai_generated") and isinstance(item.facts.get("model"), Mapping)
    }


def _no_words(assets: list[dict[str, Any]], *, is_complete: bool) -> str:
    """Why there are none, as their states say it."""
    if not is_complete:
        return "They are still to come."
    causes = {each["cause"] for each in assets if each["name"] in ("transcript", "screen_text") and each["cause"]}
    return f"There are none: {'; '.join(sorted(causes))}." if causes else "There are none."


def _seen_besides(labels: Mapping[str, Any] | None) -> list[str]:
    if labels is None:
        return []
    told = []
    if labels["moderation"] is not None:
        told.append(f"For a moderator: {labels['moderation'] or 'nothing'} found.")
    if labels["faces"] is not None:
        told.append(f"Faces: {labels['faces'] or 'none'} seen; whose they are was not asked.")
    return told


def _loudness(loudness: Mapping[str, Any] | None) -> str:
    if loudness is None or loudness["integrated_lufs"] is None:
        return ""
    parts = [f"Loudness {loudness['integrated_lufs']} LUFS"]
    if loudness["range_lu"] is not None:
        parts.append(f"range {loudness['range_lu']} LU")
    if loudness["true_peak_dbtp"] is not None:
        parts.append(f"true peak {loudness['true_peak_dbtp']} dBTP")
    return ", ".join(parts) + " (EBU R 128)."
