"""A file as a tree of named pieces, and what can go wrong with such a tree whatever the format.

Belongs here: the node, the walk, mutations that only move, copy and rename. Does not belong here: reading and writing
a tree (boxes, elements, riff), which each format does in its own way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from random import Random

from tests.mutated.plain import Mutator, odd_number

DEEP = (1, 2, 8, 40)
MOST_BYTES_ADDED = 1 << 20


@dataclass(slots=True)
class Node:
    """One piece. `body` is all of its content, or what precedes its `children`.

    `claimed` is the size it is to claim where that is a lie, `width` the bytes its size takes where that is free.
    """

    name: bytes
    body: bytes = b""
    children: list[Node] | None = None
    claimed: int | None = None
    width: int = 0


Parse = Callable[[bytes], list[Node]]
Write = Callable[[list[Node]], bytes]
Change = Callable[[list[Node], Random], None]


def places(nodes: list[Node]) -> Iterator[tuple[list[Node], int]]:
    """Every node as the list it stands in and its position there, parents first."""
    for index, node in enumerate(nodes):
        yield nodes, index
        if node.children:
            yield from places(node.children)


def nodes_named(nodes: list[Node], names: Collection[bytes]) -> list[Node]:
    """All nodes with one of these names; all without children where none has."""
    every = [siblings[index] for siblings, index in places(nodes)]
    return [node for node in every if node.name in names] or [node for node in every if not node.children] or every


def weight(node: Node) -> int:
    """Bytes of content in a piece and all below it."""
    return len(node.body) + sum(weight(child) for child in node.children or ())


def some_place(nodes: list[Node], dice: Random) -> tuple[list[Node], int]:
    """Any place of the tree."""
    return dice.choice(list(places(nodes)))


def duplicate(nodes: list[Node], dice: Random) -> None:
    """A piece twice or many times."""
    siblings, index = some_place(nodes, dice)
    times = max(1, min(dice.choice((1, 1, 3, 70)), MOST_BYTES_ADDED // max(1, weight(siblings[index]))))
    siblings[index:index] = [copy.deepcopy(siblings[index]) for _ in range(times)]


def remove(nodes: list[Node], dice: Random) -> None:
    """A piece is missing."""
    siblings, index = some_place(nodes, dice)
    del siblings[index]


def reorder(nodes: list[Node], dice: Random) -> None:
    """Siblings in another order."""
    several = [siblings for siblings, index in places(nodes) if index == 1]
    if several:
        siblings = dice.choice(several)
        siblings.append(siblings.pop(dice.randrange(len(siblings) - 1)))


def nest(nodes: list[Node], dice: Random) -> None:
    """A piece inside copies of itself."""
    siblings, index = some_place(nodes, dice)
    inner = siblings[index]
    for _ in range(dice.choice(DEEP)):
        shell = copy.copy(inner) if inner.children is not None else Node(inner.name, width=inner.width)
        shell.children = [inner]
        inner = shell
    siblings[index] = inner


def transplant(nodes: list[Node], dice: Random) -> None:
    """A copy of a piece somewhere else in the tree."""
    siblings, index = some_place(nodes, dice)
    grafted = copy.deepcopy(siblings[index])
    into, at = some_place(nodes, dice)
    into.insert(at, grafted)


def rename(nodes: list[Node], dice: Random) -> None:
    """A piece under the name of another, or under none that exists."""
    named = [node for node in (siblings[index] for siblings, index in places(nodes)) if node.name]
    if named:
        node = dice.choice(named)
        flipped = bytearray(node.name)
        flipped[-1] ^= 1 << dice.randrange(7)
        node.name = dice.choice([*sorted({other.name for other in named} - {node.name}), bytes(flipped)])


def lie(nodes: list[Node], dice: Random) -> None:
    """A piece that claims another size than it has."""
    siblings, index = some_place(nodes, dice)
    node = siblings[index]
    size = len(node.body) + 8
    node.claimed = dice.choice((0, 1, 7, size - 1, size + 1, 2 * size, odd_number(dice, size, 4)))


def rearranging(parse: Parse, write: Write) -> tuple[Mutator, ...]:
    """The mutations above as mutations of bytes."""
    return tuple(
        as_mutator(parse, write, change) for change in (duplicate, remove, reorder, nest, transplant, rename, lie)
    )


def as_mutator(parse: Parse, write: Write, change: Change) -> Mutator:
    """A change of a tree as a change of bytes, under the name of the former."""

    def mutate(data: bytes, dice: Random) -> bytes:
        nodes = parse(data)
        if nodes:
            change(nodes, dice)
        return write(nodes)

    mutate.__name__ = change.__name__
    mutate.__doc__ = change.__doc__
    return mutate
