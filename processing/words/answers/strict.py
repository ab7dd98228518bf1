"""Reading JSON that somebody else wrote: bounded, of the expected types, or refused with a sentence.

Belongs here: what every reader of answers needs of JSON. Does not belong here: what any provider's answer looks like.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from processing.asking import ANSWER_FILE
from processing.failures import ContractBroken
from processing.work import Input

T = TypeVar("T")


class Repairable(ContractBroken):
    """An answer of the wrong form: who is told what is wrong may answer better."""


MOST_BYTES = 32 * 1024 * 1024  # a piece of five minutes with every token listed is below 1 MB
MOST_DEPTH = 64  # answers nest five levels; a reader must not run out of stack
SHOWN = 60  # characters of a foreign text that a sentence may quote
CURE = "ask again, or another model"


def read_with(readers: Mapping[str, Callable[..., T]], answer: Input, *about: Any) -> T:
    """What the reader of an answer's format makes of it, told what it is `about`. Raises ContractBroken."""
    name = str(answer.facts.get("format", ""))
    with blaming(answer):
        if name not in readers:
            raise broken(f"nobody here reads the format {shown(name)!r}")
        return readers[name](answer.path(ANSWER_FILE).read_bytes(), *about)


@contextmanager
def blaming(answer: Input) -> Iterator[None]:
    """What is found broken meanwhile is the fault of this answer."""
    try:
        yield
    except ContractBroken as failure:
        failure.answers = (answer.name,)
        raise


@contextmanager
def of_a_form() -> Iterator[None]:
    """What is found broken meanwhile is a text of the wrong form, by a model that wrote it: no refusal, not cut off."""
    try:
        yield
    except ContractBroken as failure:
        raise Repairable(failure.cause, cure=failure.cure) from None


def broken(cause: str) -> ContractBroken:
    """The failure of an answer that cannot be used."""
    return ContractBroken(f"the model's answer cannot be used: {cause}", cure=CURE)


def document(content: bytes) -> dict[str, Any]:
    """The JSON object in `content`. Raises ContractBroken for anything else, and for one too large or too deep."""
    if not content.strip():
        raise broken("it is empty")
    if len(content) > MOST_BYTES:
        raise broken(f"it is longer than {MOST_BYTES} bytes")
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise broken("it is no JSON, or was cut off") from None
    if not isinstance(found, dict):
        raise broken("it is no JSON object")
    _require_depth(found)
    if found.get("error"):
        raise broken(f"it is an error: {shown(json.dumps(found['error'], ensure_ascii=False))}")
    return found


def listed(value: Any, what: str, most: int) -> list[Any]:
    """A list of at most `most` items; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise broken(f"{what} is no list")
    if len(value) > most:
        raise broken(f"{what} has {len(value)} items, more than {most}")
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise broken(f"{what} is no object")
    return value


def text(value: Any, what: str, most: int) -> str:
    """Text of at most `most` characters that can be written as UTF-8."""
    if not isinstance(value, str):
        raise broken(f"{what} is no text")
    if len(value) > most:
        raise broken(f"{what} has {len(value)} characters, more than {most}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise broken(f"{what} holds half a character") from None
    return value


def number(value: Any, what: str, least: float, most: float) -> float:
    """A finite number in [least, most]; one written as text counts, as some services write theirs."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            raise broken(f"{what} is no number") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise broken(f"{what} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not least <= found <= most:
        raise broken(f"{what} is {found:g}, not between {least:g} and {most:g}")
    return found


def integer(value: Any, what: str, least: int, most: int) -> int:
    """A whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise broken(f"{what} is no whole number")
    if not least <= value <= most:
        raise broken(f"{what} is not between {least} and {most}")
    return value


def shown(value: str) -> str:
    """The beginning of a foreign text, on one line and without control characters, for a sentence."""
    line = " ".join("".join(each if each.isprintable() else " " for each in value[: 4 * SHOWN]).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _require_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise broken(f"it is nested deeper than {MOST_DEPTH} levels")
