"""What must hold of a fingerprint: a hash for everything that can be seen, each that of its own still.

Belongs here: judging the hashes against the stills. Does not belong here: hashing (picture/fingerprint).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError

from processing.contracts.clauses import expect, failed, none_against, passed
from processing.manifest import Verdict
from processing.picture.fingerprint import BITS, bits_apart, hash_of, read_prints
from processing.picture.scenes import read_shots
from processing.work import Input, Task


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the prints cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a fingerprint needs what was made")
    try:
        document = read_prints(made.folder)
        prints = list(document["prints"])
        for each in prints:
            bits_apart(each["hash"], each["hash"])
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("prints readable", f"{type(error).__name__}: {error}", "JSON with hashes")]
    facts = made.facts
    summed = (len(prints), sum(bool(each["plain"]) for each in prints), BITS)
    told = (facts.get("prints"), facts.get("plain"), document.get("bits"))
    return [
        passed("prints readable", len(prints)),
        expect("is not empty", bool(prints), len(prints), "at least one"),
        expect("facts agree", summed == told, str(told), str(summed)),
        expect("hashes are whole", all(len(each["hash"]) * 4 == BITS for each in prints), "", f"{BITS} bits"),
        none_against("everything that is seen has its hash", _missing(prints, task.inputs)),
        none_against("hashes are those of the stills", _foreign(prints, task.inputs)),
    ]


def _missing(prints: list[Mapping[str, Any]], inputs: Mapping[str, Input]) -> Iterator[str]:
    if "scenes" not in inputs:
        if len(prints) != 1 or prints[0]["start"] is not None:
            yield f"{len(prints)} prints of one still"
        return
    due = [(shot["start"], shot["end"]) for shot in read_shots(inputs["scenes"].folder)["shots"] if shot["still"]]
    found = [(each["start"], each["end"]) for each in prints]
    if due != found:
        yield f"{len(found)} shots of {len(due)}, or others"


def _foreign(prints: list[Mapping[str, Any]], inputs: Mapping[str, Input]) -> Iterator[str]:
    """Hashed once more: stills are small, and another picture's hash under this one's time is what would mislead."""
    for each, path in zip(prints, _stills(inputs), strict=False):
        try:
            hashed, plain = hash_of(path)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            yield f"the still at {each['start']} cannot be read ({error})"
            continue
        if hashed != each["hash"] or plain != each["plain"]:
            yield f"the still at {each['start']} has the hash {hashed}, not {each['hash']}"


def _stills(inputs: Mapping[str, Input]) -> Iterator[Any]:
    if "scenes" in inputs:
        scenes = inputs["scenes"]
        for shot in read_shots(scenes.folder)["shots"]:
            if shot["still"]:
                yield scenes.path(shot["still"]["file"])
        return
    thumbnails = inputs["thumbnails"]
    jpegs = [file for file in thumbnails.facts["files"] if file["format"] == "jpeg"]
    yield thumbnails.path(max(jpegs, key=lambda file: file["width"] * file["height"])["path"])
