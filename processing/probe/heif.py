"""The picture a HEIF or AVIF file means: its canvas, its tiles, how it is turned and coloured.

Belongs here: reading the `meta` box (ISO/IEC 14496-12, 8.11; ISO/IEC 23008-12) as far as one picture needs. Does not
belong here: decoding. PyAV gives every tile as a stream of its own (its id is the item's) but not the grid that puts
them together, so the grid is read here. Pure: bytes in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from processing.failures import BadInput
from processing.picture.geometry import UPRIGHT, Orientation

META_LIMIT_BYTES = 8 << 20  # a 100-megapixel grid has a 60 kB meta box, colour profile included
TOP_LEVEL_BOXES = 32
CURE = "send it again from the original"


@dataclass(frozen=True, slots=True)
class StillItem:
    """The primary item: canvas size in pixels before turning, and the coded items it consists of, row by row.

    `tile_ids` has one entry for a picture that is not a grid. `nclx` holds primaries, transfer, matrix (ISO/IEC
    23091-2 numbers) and whether the range is full; `icc` an embedded profile.
    """

    width: int
    height: int
    columns: int
    tile_ids: tuple[int, ...]
    orientation: Orientation
    bit_depth: int
    alpha: bool
    nclx: tuple[int, int, int, bool] | None
    icc: bytes | None


@dataclass(slots=True)
class _Meta:
    primary: int = 0
    types: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # construction method, offset, length
    references: dict[bytes, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    associations: dict[int, list[int]] = field(default_factory=dict)
    idat: bytes = b""

    def of(self, item: int) -> list[tuple[bytes, bytes]]:
        """The properties of an item in the order in which they apply."""
        return [self.properties[index - 1] for index in self.associations.get(item, []) if self._exists(index)]

    def _exists(self, index: int) -> bool:
        return 0 < index <= len(self.properties)


def read_still_item(path: Path) -> StillItem:
    """The primary picture of a HEIF or AVIF file. Raises `BadInput` where it is damaged, OSError on reading."""
    with path.open("rb") as file:
        content = _meta_box(file.read(META_LIMIT_BYTES))
        try:
            meta = _parse(content)
            grid = None
            if meta.types.get(meta.primary) == b"grid":
                method, offset, length = meta.extents[meta.primary]
                if method == 1:
                    grid = meta.idat[offset : offset + length]
                else:
                    file.seek(offset)
                    grid = file.read(min(length, 64))
            return _describe(meta, grid)
        except (struct.error, IndexError, KeyError, ValueError) as error:
            raise BadInput("the picture's index is damaged", cure=CURE, detail=repr(error)) from error


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = len(data) - at
        if size < header:
            raise ValueError(f"box {name!r} claims {size} bytes")
        yield name, data[at + header : at + size]
        at += size


def _meta_box(head: bytes) -> bytes:
    try:
        for number, (name, body) in enumerate(_boxes(head)):
            if name == b"meta":
                return body[4:]
            if number >= TOP_LEVEL_BOXES:
                break
    except (ValueError, struct.error) as error:
        raise BadInput("the picture's structure is damaged", cure=CURE, detail=repr(error)) from error
    raise BadInput("the picture file has no index of what it holds", cure=CURE)


def _parse(content: bytes) -> _Meta:
    meta = _Meta()
    readers = {b"pitm": _read_pitm, b"iinf": _read_iinf, b"iloc": _read_iloc, b"iref": _read_iref, b"iprp": _read_iprp}
    for name, body in _boxes(content):
        if name == b"idat":
            meta.idat = body
        elif name in readers:
            readers[name](meta, body)
    return meta


def _read_pitm(meta: _Meta, body: bytes) -> None:
    meta.primary = struct.unpack_from(">I" if body[0] else ">H", body, 4)[0]


def _read_iinf(meta: _Meta, body: bytes) -> None:
    for name, entry in _boxes(body[8 if body[0] else 6 :]):
        if name == b"infe" and entry[0] >= 2:
            wide = entry[0] >= 3
            item = struct.unpack_from(">I" if wide else ">H", entry, 4)[0]
            start = 10 if wide else 8
            meta.types[item] = entry[start : start + 4]


def _read_iloc(meta: _Meta, body: bytes) -> None:
    version = body[0]
    offset_size, length_size = body[4] >> 4, body[4] & 15
    base_size, index_size = body[5] >> 4, body[5] & 15 if version else 0
    wide = version >= 2
    count = struct.unpack_from(">I" if wide else ">H", body, 6)[0]
    at = 10 if wide else 8
    for _ in range(count):
        item = struct.unpack_from(">I" if wide else ">H", body, at)[0]
        at += 4 if wide else 2
        method = 0
        if version:
            method = struct.unpack_from(">H", body, at)[0] & 15
            at += 2
        at += 2
        base = _number(body, at, base_size)
        at += base_size
        extents = struct.unpack_from(">H", body, at)[0]
        at += 2
        for number in range(extents):
            at += index_size
            offset = _number(body, at, offset_size)
            length = _number(body, at + offset_size, length_size)
            at += offset_size + length_size
            if number == 0:
                meta.extents[item] = (method, base + offset, length)


def _number(body: bytes, at: int, size: int) -> int:
    if at + size > len(body):
        raise ValueError("a number lies outside its box")
    return int.from_bytes(body[at : at + size], "big")


def _read_iref(meta: _Meta, body: bytes) -> None:
    wide = body[0] == 1
    code, step = (">I", 4) if wide else (">H", 2)
    for name, entry in _boxes(body[4:]):
        source = struct.unpack_from(code, entry, 0)[0]
        count = struct.unpack_from(">H", entry, step)[0]
        targets = struct.unpack_from(f">{count}{code[1]}", entry, step + 2)
        meta.references.setdefault(name, {})[source] = targets


def _read_iprp(meta: _Meta, body: bytes) -> None:
    for name, entry in _boxes(body):
        if name == b"ipco":
            meta.properties = list(_boxes(entry))
        elif name == b"ipma":
            _read_ipma(meta, entry)


def _read_ipma(meta: _Meta, entry: bytes) -> None:
    wide_items, wide_indexes = entry[0] >= 1, entry[3] & 1
    count, at = struct.unpack_from(">I", entry, 4)[0], 8
    for _ in range(count):
        item = struct.unpack_from(">I" if wide_items else ">H", entry, at)[0]
        at += 4 if wide_items else 2
        links = entry[at]
        at += 1
        indexes = []
        for _ in range(links):
            indexes.append(struct.unpack_from(">H", entry, at)[0] & 0x7FFF if wide_indexes else entry[at] & 0x7F)
            at += 2 if wide_indexes else 1
        meta.associations[item] = indexes


def _describe(meta: _Meta, grid: bytes | None) -> StillItem:
    own = meta.of(meta.primary)
    tiles = meta.references.get(b"dimg", {}).get(meta.primary, ()) if grid is not None else (meta.primary,)
    columns = 1
    if grid is not None:
        wide = grid[1] & 1
        rows, columns = grid[2] + 1, grid[3] + 1
        width, height = struct.unpack_from(">II" if wide else ">HH", grid, 4)
        if len(tiles) != rows * columns:
            raise ValueError(f"{rows} x {columns} tiles announced, {len(tiles)} listed")
    else:
        sizes = [body for name, body in own if name == b"ispe"]
        width, height = struct.unpack_from(">II", sizes[0], 4)
    shown = own + meta.of(tiles[0])
    return StillItem(
        width=width,
        height=height,
        columns=columns,
        tile_ids=tuple(tiles),
        orientation=_turned(own),
        bit_depth=_bit_depth(shown),
        alpha=meta.primary in {target for each in meta.references.get(b"auxl", {}).values() for target in each},
        nclx=_nclx(shown),
        icc=next((body[4:] for name, body in shown if name == b"colr" and body[:4] in (b"prof", b"rICC")), None),
    )


def _turned(properties: list[tuple[bytes, bytes]]) -> Orientation:
    """`irot` and `imir` in the order in which they are associated (ISO/IEC 23008-12, 6.5.10 and 6.5.12)."""
    rotation, mirrored = 0, False
    for name, body in properties:
        if name == b"irot":
            turn = (360 - (body[0] & 3) * 90) % 360  # anticlockwise in the file
            rotation = (rotation - turn if mirrored else rotation + turn) % 360
        elif name == b"imir":
            mirrored = not mirrored
            if not body[0] & 1:  # axis 0: top and bottom change places, a half turn more than left and right
                rotation = (rotation + 180) % 360
    return Orientation(rotation, mirrored) if (rotation, mirrored) != (0, False) else UPRIGHT


def _bit_depth(properties: list[tuple[bytes, bytes]]) -> int:
    for name, body in properties:
        if name == b"pixi" and len(body) > 5:
            return body[5]
        if name == b"av1C" and len(body) > 2:
            return (12 if body[2] & 0x20 else 10) if body[2] & 0x40 else 8
        if name == b"hvcC" and len(body) > 17:
            return (body[17] & 7) + 8
    return 8


def _nclx(properties: list[tuple[bytes, bytes]]) -> tuple[int, int, int, bool] | None:
    for name, body in properties:
        if name == b"colr" and body[:4] == b"nclx" and len(body) >= 11:
            primaries, transfer, matrix = struct.unpack_from(">HHH", body, 4)
            return primaries, transfer, matrix, bool(body[10] & 0x80)
    return None
