"""Matroska and WebM (RFC 8794, RFC 9559): their elements, mutated.

Belongs here: reading and writing the tree of EBML elements, blocks and their lacing. Does not belong here: what goes
wrong with any tree (tree).
"""

from __future__ import annotations

from random import Random

from tests.mutated.plain import Mutator, odd_number, with_bits_flipped
from tests.mutated.tree import Node, as_mutator, nodes_named, rearranging

_MASTERS = frozenset(
    number.to_bytes((number.bit_length() + 7) // 8, "big")
    for number in (
        0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x55B0, 0x1F43B675, 0xA0,
        0x75A1, 0xA6, 0x1C53BB6B, 0xBB, 0xB7, 0x1043A770, 0x45B9, 0xB6, 0x80, 0x1254C367, 0x7373, 0x63C0, 0x67C8,
        0x6D80, 0x6240, 0x5034, 0x1941A469, 0x61A7,
    )
)  # fmt: skip
_SEGMENT, _CLUSTER = bytes.fromhex("18538067"), bytes.fromhex("1f43b675")
_BLOCKS = (b"\xa3", b"\xa1")
_CODEC = (bytes.fromhex("63a2"), bytes.fromhex("86"))
_VOID = b"\xec"
_MOST_NUMBER_BYTES = 8
_UNKNOWN = -1  # a claimed size that says: until its parent ends
_MOST_DEPTH = 10


def parse(data: bytes, depth: int = 0) -> list[Node]:
    """The elements of `data`. What cannot be one becomes a nameless rest."""
    nodes, at = [], 0
    while at < len(data):
        width = 9 - data[at].bit_length()
        if width > 4 or at + width >= len(data):
            break
        name, at_size = data[at : at + width], at + width
        size_width = 9 - data[at_size].bit_length()
        start = at_size + size_width
        if size_width > 8 or start > len(data):
            break
        size = int.from_bytes(data[at_size:start], "big") & (1 << 7 * size_width) - 1
        unknown = size == (1 << 7 * size_width) - 1
        end = len(data) if unknown else start + size
        if end > len(data):
            break
        node = Node(name, data[start:end], claimed=_UNKNOWN if unknown else None, width=size_width)
        if name in _MASTERS and depth < _MOST_DEPTH:
            node.body, node.children = b"", parse(data[start:end], depth + 1)
        nodes.append(node)
        at = end
    if at < len(data):
        nodes.append(Node(b"", data[at:]))
    return nodes


def write(nodes: list[Node]) -> bytes:
    """The bytes of a tree of elements, every size right but those that are to lie."""
    found = []
    for node in nodes:
        content = node.body + (write(node.children) if node.children else b"")
        if node.name:
            size = len(content) if node.claimed is None else node.claimed
            content = node.name + _size(size, node.width or 8) + content
        found.append(content)
    return b"".join(found)


def _size(size: int, width: int) -> bytes:
    while size >= (1 << 7 * width) - 1 and width < 8:
        width += 1
    limit = 1 << 7 * width
    return ((size % limit) | limit).to_bytes(width, "big")


def unknown_sizes(nodes: list[Node], dice: Random) -> None:
    """An element that does not say where it ends."""
    node = dice.choice(nodes_named(nodes, dice.choice(((_SEGMENT, _CLUSTER), _BLOCKS, _MASTERS))))
    node.claimed = 3 if node.claimed == _UNKNOWN else _UNKNOWN


def numbers(nodes: list[Node], dice: Random) -> None:
    """Other numbers: track types, time scales, sizes, rates, cue positions."""
    small = [node for node in nodes_named(nodes, ()) if 0 < len(node.body) <= _MOST_NUMBER_BYTES]
    for node in dice.sample(small, min(len(small), dice.choice((1, 1, 3)))):
        width = len(node.body)
        node.body = odd_number(dice, int.from_bytes(node.body, "big"), width).to_bytes(width, "big")


def long_numbers(nodes: list[Node], dice: Random) -> None:
    """A number of more bytes than a number may have, or of none."""
    small = [node for node in nodes_named(nodes, ()) if 0 < len(node.body) <= _MOST_NUMBER_BYTES]
    node = dice.choice(small or nodes)
    node.body = dice.choice((b"", node.body + bytes(9), b"\xff" * 8, bytes.fromhex("7ff8000000000000")))


def lacing(nodes: list[Node], dice: Random) -> None:
    """Blocks that claim to hold several frames, with whatever follows as their sizes."""
    for node in dice.choices(nodes_named(nodes, _BLOCKS), k=dice.choice((1, 3, 20))):
        if len(node.body) > 5:
            kind = dice.choice((0x02, 0x04, 0x06))
            count = bytes([dice.choice((0, 1, 8, 0x7F, 0xFF))])
            sizes = dice.randbytes(dice.choice((0, 1, 4))) if dice.random() < 0.7 else b"\xff" * 12
            node.body = node.body[:3] + bytes([node.body[3] & 0xF9 | kind]) + count + sizes + node.body[4:]


def block_heads(nodes: list[Node], dice: Random) -> None:
    """Blocks of another track, at another time, with other flags."""
    for node in dice.choices(nodes_named(nodes, _BLOCKS), k=dice.choice((1, 3, 20))):
        node.body = with_bits_flipped(node.body, dice, end=4)


def codecs(nodes: list[Node], dice: Random) -> None:
    """Bits of what a decoder is told, or another codec's name."""
    node = dice.choice(nodes_named(nodes, _CODEC))
    names = (b"V_VP9", b"V_MPEG4/ISO/AVC", b"A_AAC", b"V_MS/VFW/FOURCC", b"A_MS/ACM", b"V_UNCOMPRESSED", b"S_VOBSUB")
    node.body = dice.choice(names) if dice.random() < 0.4 else with_bits_flipped(node.body, dice)


def samples(nodes: list[Node], dice: Random) -> None:
    """Bits of the frames themselves."""
    for node in dice.choices(nodes_named(nodes, _BLOCKS), k=dice.choice((1, 4))):
        node.body = with_bits_flipped(node.body, dice, 4, most=32)


CHANGES = (unknown_sizes, numbers, long_numbers, lacing, block_heads, codecs, samples)
MUTATORS: tuple[Mutator, ...] = (
    *(as_mutator(parse, write, change) for change in CHANGES),
    *rearranging(parse, write),
)
