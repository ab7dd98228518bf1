"""ISO base media files (ISO/IEC 14496-12), HEIF and AVIF: their boxes, mutated.

Belongs here: reading and writing the tree of boxes, the tables inside. Does not belong here: what goes wrong with any
tree (tree).
"""

from __future__ import annotations

import struct
from random import Random

from tests.mutated.plain import Mutator, odd_number, with_bits_flipped, with_number
from tests.mutated.tree import Node, as_mutator, nodes_named, rearranging

# What precedes the children of each container.
_CONTAINERS = {
    **dict.fromkeys(
        (
            b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex", b"moof", b"traf", b"mfra",
            b"iprp", b"ipco", b"sinf", b"schi", b"wave", b"tref", b"gmhd",
        ),
        0,
    ),
    b"meta": 4, b"iref": 4, b"iinf": 6, b"dref": 8, b"stsd": 8,
    **dict.fromkeys((b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp09", b"mp4v", b"s263"), 78),
    **dict.fromkeys((b"mp4a", b"ac-3", b"alac", b"sowt", b"Opus"), 28),
}  # fmt: skip
TABLES = (b"stsz", b"stz2", b"stts", b"ctts", b"stco", b"co64", b"stsc", b"stss", b"elst", b"trun", b"sidx", b"sbgp")
HEADS = (b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"tfhd", b"tfdt", b"trex", b"mehd", b"ispe", b"iloc", b"ipma", b"pitm")
CODECS = (b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"colr", b"pasp", b"dac3", b"dOps", b"d263", b"alac")
_MOST_DEPTH = 12


def parse(data: bytes, depth: int = 0) -> list[Node]:
    """The boxes of `data`. What cannot be a box becomes a nameless rest."""
    nodes, at = [], 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and at + 16 <= len(data):
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        size = size or len(data) - at
        if size < header or at + size > len(data):
            break
        body = data[at + header : at + size]
        before = _CONTAINERS.get(name)
        if before is not None and len(body) > before and depth < _MOST_DEPTH:
            nodes.append(Node(name, body[:before], parse(body[before:], depth + 1)))
        else:
            nodes.append(Node(name, body))
        at += size
    if at < len(data):
        nodes.append(Node(b"", data[at:]))
    return nodes


def write(nodes: list[Node]) -> bytes:
    """The bytes of a tree of boxes, every size right but those that are to lie."""
    found = []
    for node in nodes:
        content = node.body + (write(node.children) if node.children else b"")
        if len(node.name) == 4:
            size = len(content) + 8 if node.claimed is None else node.claimed
            content = struct.pack(">I4s", size & 0xFFFFFFFF, node.name) + content
        found.append(content)
    return b"".join(found)


def counts(nodes: list[Node], dice: Random) -> None:
    """A table that claims another number of entries."""
    node = dice.choice(nodes_named(nodes, TABLES))
    node.body = with_number(node.body, 8 if node.name == b"stsz" else 4, 4, dice)


def entries(nodes: list[Node], dice: Random) -> None:
    """Other numbers in the entries of a table."""
    node = dice.choice(nodes_named(nodes, TABLES))
    for _ in range(dice.choice((1, 1, 4, 40))):
        if len(node.body) >= 12:
            node.body = with_number(node.body, 8 + 4 * dice.randrange((len(node.body) - 8) // 4), 4, dice)


def same_entries(nodes: list[Node], dice: Random) -> None:
    """A table whose entries are all one odd number."""
    node = dice.choice(nodes_named(nodes, TABLES))
    number = odd_number(dice, 0, 4).to_bytes(4, "big")
    node.body = node.body[:8] + number * max(1, (len(node.body) - 8) // 4)


def edits(nodes: list[Node], dice: Random) -> None:
    """An edit list of one's own making: empty edits, times before the start, rates of nought."""
    entries_ = [
        struct.pack(
            ">Iihh",
            dice.choice((0, 1, 1000, 0x7FFFFFFF, 0xFFFFFFFF)),
            dice.choice((-1, 0, 1, 1024, -0x80000000, 0x7FFFFFFF)),
            dice.choice((1, 0, -1, 2)),
            dice.choice((0, 1)),
        )
        for _ in range(dice.choice((1, 2, 3, 500)))
    ]
    made = Node(b"elst", struct.pack(">II", 0, len(entries_)) + b"".join(entries_))
    for track in [node for node in nodes_named(nodes, (b"trak",)) if node.children is not None]:
        assert track.children is not None
        track.children = [child for child in track.children if child.name != b"edts"]
        track.children.insert(min(1, len(track.children)), Node(b"edts", b"", [made]))
        return
    nodes.append(Node(b"edts", b"", [made]))


def heads(nodes: list[Node], dice: Random) -> None:
    """Other numbers in a header: time scales, durations, sizes, versions, flags."""
    node = dice.choice(nodes_named(nodes, HEADS))
    if node.body:
        width = dice.choice((1, 2, 4))
        node.body = with_number(node.body, dice.randrange(max(1, len(node.body) - width + 1)), width, dice)


def codecs(nodes: list[Node], dice: Random) -> None:
    """Bits of parameter sets and decoder configurations."""
    node = dice.choice(nodes_named(nodes, CODECS))
    node.body = with_bits_flipped(node.body, dice)


def sample_descriptions(nodes: list[Node], dice: Random) -> None:
    """Other numbers in a sample entry: width, height, channels, rate, number of entries."""
    node = dice.choice(nodes_named(nodes, [*_CONTAINERS.keys() - {b"moov", b"trak"}, *CODECS]))
    if len(node.body) >= 4:
        node.body = with_number(node.body, 2 * dice.randrange(len(node.body) // 2), 2, dice)


def samples(nodes: list[Node], dice: Random) -> None:
    """Bits of the samples themselves."""
    node = max(nodes, key=lambda each: len(each.body))
    node.body = with_bits_flipped(node.body, dice, most=64)


def references_elsewhere(address: str) -> Mutator:
    """A mutation after which the samples lie at `address`, so says the data reference."""

    def elsewhere(nodes: list[Node], dice: Random) -> None:
        """Samples that are said to lie in another file or on the network."""
        name = dice.choice((b"url ", b"urn ", b"alis", b"rsrc"))
        said = Node(name, struct.pack(">I", 0) + address.encode() + b"\0")
        found = [node for node in nodes_named(nodes, (b"dref",)) if node.name == b"dref"]
        for node in found:
            node.body, node.children = struct.pack(">II", 0, 1), [said]
        if not found:
            nodes.append(Node(b"dref", struct.pack(">II", 0, 1), [said]))

    return as_mutator(parse, write, elsewhere)


CHANGES = (counts, entries, same_entries, edits, heads, codecs, sample_descriptions, samples)
MUTATORS: tuple[Mutator, ...] = (
    *(as_mutator(parse, write, change) for change in CHANGES),
    *rearranging(parse, write),
)
