"""PNG, JPEG, GIF and TIFF: their headers, mutated.

Belongs here: chunks, segments, blocks and directories of these four. Does not belong here: WebP (riff), HEIF and AVIF
(boxes).
"""

from __future__ import annotations

import struct
import zlib
from random import Random

from tests.mutated.plain import EDGES, Mutator, with_bits_flipped, with_number
from tests.mutated.tree import Node, as_mutator, nodes_named, rearranging

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_PNG_HEADS = (b"IHDR", b"acTL", b"fcTL", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"eXIf", b"sBIT", b"pHYs")
_STAND_ALONE = (*range(0xD0, 0xDA), 0x01)  # markers of JPEG without a length
_SCAN = 0xDA


def parse_png(data: bytes) -> list[Node]:
    """The mark and the chunks of a PNG (ISO/IEC 15948, 5.3)."""
    nodes, at = [Node(b"", data[:8])], 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        nodes.append(Node(name, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return [*nodes, Node(b"", data[at:])] if at < len(data) else nodes


def write_png(nodes: list[Node]) -> bytes:
    """The bytes of its pieces, checksums right."""
    found = []
    for node in nodes:
        content = node.body + (write_png(node.children) if node.children else b"")
        if len(node.name) == 4:
            size = len(content) if node.claimed is None else node.claimed
            crc = zlib.crc32(node.name + content)
            content = struct.pack(">I4s", size & 0xFFFFFFFF, node.name) + content + struct.pack(">I", crc)
        found.append(content)
    return b"".join(found)


def png_heads(nodes: list[Node], dice: Random) -> None:
    """Other numbers in a header: width, height, depth, colour type, frames of an animation."""
    node = dice.choice(nodes_named(nodes, _PNG_HEADS))
    width = dice.choice((1, 4))
    node.body = with_number(node.body, dice.randrange(max(1, len(node.body) - width + 1)), width, dice)


def png_pixels(nodes: list[Node], dice: Random) -> None:
    """Bits of the compressed pixels, or far more pixels than there is room for."""
    node = dice.choice(nodes_named(nodes, (b"IDAT", b"fdAT")))
    grown = zlib.compress(bytes(dice.choice((1, 1 << 16, 1 << 23))))
    node.body = dice.choice((with_bits_flipped(node.body, dice, most=32), grown, b""))


PNG: tuple[Mutator, ...] = (
    as_mutator(parse_png, write_png, png_heads),
    as_mutator(parse_png, write_png, png_pixels),
    *rearranging(parse_png, write_png),
)


def parse_jpeg(data: bytes) -> list[Node]:
    """The segments of a JPEG (ITU-T T.81, B.1); the scan and what follows is a nameless rest."""
    nodes, at = [Node(b"", data[:2])], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _STAND_ALONE:
            nodes.append(Node(b"", data[at : at + 2]))
            at += 2
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        nodes.append(Node(bytes([0xFF, marker]), data[at + 4 : at + 2 + size]))
        at += 2 + size
        if marker == _SCAN:
            break
    return [*nodes, Node(b"", data[at:])]


def write_jpeg(nodes: list[Node]) -> bytes:
    """The bytes of its segments, lengths right but those that are to lie."""
    found = []
    for node in nodes:
        content = node.body + (write_jpeg(node.children) if node.children else b"")
        if node.name:
            size = len(content) + 2 if node.claimed is None else node.claimed
            content = node.name + (size & 0xFFFF).to_bytes(2, "big") + content
        found.append(content)
    return b"".join(found)


def jpeg_heads(nodes: list[Node], dice: Random) -> None:
    """Other numbers in a frame header, a table or a scan header: size, precision, components, sampling."""
    marked = [node for node in nodes if node.name]
    node = dice.choice([each for each in marked if each.name[1] in (0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD)] or nodes)
    width = dice.choice((1, 2))
    if len(node.body) >= width:
        node.body = with_number(node.body, dice.randrange(min(20, len(node.body) - width + 1)), width, dice)


def jpeg_exif(nodes: list[Node], dice: Random) -> None:
    """Bits of what an application wrote: EXIF, profiles."""
    node = dice.choice([each for each in nodes if each.name and each.name[1] >> 4 == 0xE] or nodes)
    node.body = with_bits_flipped(node.body, dice, end=256)


def jpeg_scan(nodes: list[Node], dice: Random) -> None:
    """Bits of the coded picture, or markers in the middle of it."""
    at = dice.randrange(max(1, len(nodes[-1].body)))
    marker = bytes([0xFF, dice.choice((0xC0, 0xC2, 0xC4, 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xFF))])
    body = nodes[-1].body
    nodes[-1].body = dice.choice((with_bits_flipped(body, dice, most=32), body[:at] + marker + body[at + 2 :]))


JPEG: tuple[Mutator, ...] = (
    *(as_mutator(parse_jpeg, write_jpeg, change) for change in (jpeg_heads, jpeg_exif, jpeg_scan)),
    *rearranging(parse_jpeg, write_jpeg),
)


def gif_screen(data: bytes, dice: Random) -> bytes:
    """Another logical screen: size, colour table, background."""
    return (
        with_number(data, dice.choice((6, 8)), 2, dice, little=True) if dice.random() < 0.6 else _gif_flags(data, dice)
    )


def _gif_flags(data: bytes, dice: Random) -> bytes:
    return with_bits_flipped(data, dice, 10, 13)


def gif_frames(data: bytes, dice: Random) -> bytes:
    """Other places, sizes and code sizes of single pictures."""
    starts = [at for at in range(13, len(data) - 12) if data[at] == 0x2C]
    for at in dice.sample(starts, min(len(starts), dice.choice((1, 3, 20)))):
        data = with_number(data, at + dice.choice((1, 3, 5, 7)), 2, dice, little=True)
        data = with_bits_flipped(data, dice, at + 9, at + 11, most=2)
    return data


def gif_extensions(data: bytes, dice: Random) -> bytes:
    """Bits of extensions: delays, disposal, loops."""
    starts = [at for at in range(13, len(data) - 8) if data[at] == 0x21]
    for at in dice.sample(starts, min(len(starts), dice.choice((1, 3)))):
        data = with_bits_flipped(data, dice, at + 1, at + 8)
    return data


GIF: tuple[Mutator, ...] = (gif_screen, gif_frames, gif_extensions)


def tiff_entries(data: bytes, dice: Random) -> bytes:
    """Other tags, types, counts and values in the directory (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    if at + 2 > len(data):
        return data
    count = struct.unpack_from(f"{order}H", data, at)[0]
    for _ in range(dice.choice((1, 1, 3))):
        place, width = dice.choice(((0, 2), (2, 2), (4, 4), (8, 4)))
        data = with_number(data, at + 2 + 12 * dice.randrange(max(1, count)) + place, width, dice, little=order == "<")
    return data


def tiff_directories(data: bytes, dice: Random) -> bytes:
    """A directory that lies elsewhere, has more entries than there are, or follows itself."""
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    if at + 2 > len(data) or dice.random() < 0.3:
        return with_number(data, 4, 4, dice, little=order == "<")
    count = struct.unpack_from(f"{order}H", data, at)[0]
    if dice.random() < 0.5:
        return with_number(data, at, 2, dice, little=order == "<")
    following = dice.choice((at, at + 2, dice.choice(EDGES)))
    after = at + 2 + 12 * count
    return data[:after] + struct.pack(f"{order}I", following & 0xFFFFFFFF) + data[after + 4 :]


TIFF: tuple[Mutator, ...] = (tiff_entries, tiff_directories)
