"""Dialogue lines as libavcodec decodes every text track to them (Advanced SubStation Alpha), turned into cue text.

Belongs here: that one translation. Does not belong here: times, or which track a line is of.

Kept: line breaks, bold, italic, underline. Left out: positions, colours, fonts, drawings, karaoke, which WebVTT says
otherwise or not at all.
"""

from __future__ import annotations

import re

from processing.failures import BadInput

FIELDS_BEFORE_TEXT = 8  # ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect: libavcodec's own line
_OVERRIDES = re.compile(r"\{[^{}]*\}")
_STYLE = re.compile(r"\\([biu])(\d+)(?=\\|$)")
_DRAWING = re.compile(r"\\p([1-9]\d*)(?=\\|$)")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def cue_text(line: str) -> str:
    """The payload of a WebVTT cue (section 4.2.2) for one decoded line; empty for a drawing or an empty line.

    Raises BadInput for a line without its fields.
    """
    fields = line.split(",", FIELDS_BEFORE_TEXT)
    if len(fields) <= FIELDS_BEFORE_TEXT:
        raise BadInput("a subtitle line lacks its fields", cure="export the subtitles again as SRT")
    return _converted(fields[FIELDS_BEFORE_TEXT])


def _converted(text: str) -> str:
    parts: list[str] = []
    open_tags: list[str] = []
    drawing = False
    cursor = 0
    for match in _OVERRIDES.finditer(text):
        if not drawing:
            parts.append(_plain(text[cursor : match.start()]))
        cursor = match.end()
        code = match.group()[1:-1]
        if "\\p" in code:
            drawing = bool(_DRAWING.search(code))
        for tag, value in _STYLE.findall(code):
            _switch(tag, int(value) != 0, parts, open_tags)
    if not drawing:
        parts.append(_plain(text[cursor:]))
    parts += [f"</{tag}>" for tag in reversed(open_tags)]
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if _has_text(line))


def _switch(tag: str, on: bool, parts: list[str], open_tags: list[str]) -> None:
    """Open or close a tag; those opened inside one that closes are closed and opened again, for tags nest."""
    if on == (tag in open_tags):
        return
    if on:
        open_tags.append(tag)
        parts.append(f"<{tag}>")
        return
    inside = open_tags[open_tags.index(tag) + 1 :]
    parts += [f"</{each}>" for each in reversed(inside)] + [f"</{tag}>"] + [f"<{each}>" for each in inside]
    open_tags.remove(tag)


def _plain(text: str) -> str:
    text = text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", "\u00a0").replace("\r", "")
    printable = "".join(letter for letter in text if letter == "\n" or letter.isprintable() or letter == "\u00a0")
    return "".join(_ESCAPES.get(letter, letter) for letter in printable)


def _has_text(line: str) -> bool:
    return bool(re.sub(r"</?[biu]>", "", line).strip())
