"""RIFF: AVI, WAVE and WebP, their chunks mutated.

Belongs here: reading and writing the tree of chunks, the headers inside. Does not belong here: what goes wrong with
any tree (tree).
"""

from __future__ import annotations

import struct
from random import Random

from tests.mutated.plain import Mutator, with_bits_flipped, with_number
from tests.mutated.tree import Node, as_mutator, nodes_named, rearranging

_HEADS = (b"avih", b"strh", b"strf", b"fmt ", b"fact", b"ds64", b"VP8X", b"ANIM", b"ANMF", b"dmlh", b"vprp")
_INDEXES = (b"idx1", b"indx", b"ix00", b"ix01")
_SAMPLES = (b"00dc", b"00db", b"01wb", b"data", b"VP8 ", b"VP8L", b"ANMF", b"ALPH")
_MOST_DEPTH = 8


def parse(data: bytes, depth: int = 0) -> list[Node]:
    """The chunks of `data`. What cannot be one becomes a nameless rest."""
    nodes, at = [], 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if len(body) < size:
            break
        if name in (b"RIFF", b"LIST") and size >= 4 and depth < _MOST_DEPTH:
            nodes.append(Node(name, body[:4], parse(body[4:], depth + 1)))
        else:
            nodes.append(Node(name, body))
        at += 8 + size + size % 2
    if at < len(data):
        nodes.append(Node(b"", data[at:]))
    return nodes


def write(nodes: list[Node]) -> bytes:
    """The bytes of a tree of chunks, every size right but those that are to lie."""
    found = []
    for node in nodes:
        content = node.body + (write(node.children) if node.children else b"")
        if len(node.name) == 4:
            size = len(content) if node.claimed is None else node.claimed
            content = struct.pack("<4sI", node.name, size & 0xFFFFFFFF) + content + b"\0" * (len(content) % 2)
        found.append(content)
    return b"".join(found)


def heads(nodes: list[Node], dice: Random) -> None:
    """Other numbers in a header: rates, scales, sizes, block sizes, numbers of streams."""
    node = dice.choice(nodes_named(nodes, _HEADS))
    for _ in range(dice.choice((1, 1, 3))):
        width = dice.choice((1, 2, 4))
        if len(node.body) > width:
            node.body = with_number(node.body, dice.randrange(len(node.body) - width), width, dice, little=True)


def indexes(nodes: list[Node], dice: Random) -> None:
    """Entries of an index that point elsewhere."""
    node = dice.choice(nodes_named(nodes, _INDEXES))
    for _ in range(dice.choice((1, 4, 40))):
        if len(node.body) >= 4:
            node.body = with_number(node.body, 4 * dice.randrange(len(node.body) // 4), 4, dice, little=True)


def samples(nodes: list[Node], dice: Random) -> None:
    """Bits of the samples themselves, the header of the first frame included."""
    node = dice.choice(nodes_named(nodes, _SAMPLES))
    node.body = with_bits_flipped(node.body, dice, end=dice.choice((16, None)), most=32)


MUTATORS: tuple[Mutator, ...] = (
    *(as_mutator(parse, write, change) for change in (heads, indexes, samples)),
    *rearranging(parse, write),
)
