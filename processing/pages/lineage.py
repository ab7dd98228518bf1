"""The picture of what was made of what: boxes in layers from the upload to each output, as SVG.

Belongs here: layers, places, the markup. Does not belong here: what is on record (the caller has it), colours (static).

Layers go from left to right, an asset one layer behind the last of what it was made of. Texts are escaped; the picture
is described by the table that lists the same (tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

BOX_W, BOX_H, GAP_X, GAP_Y, EDGE = 128, 30, 64, 12, 8


@dataclass(frozen=True, slots=True)
class Node:
    """One asset: its name and state, and the assets it was made of."""

    name: str
    state: str
    made_of: tuple[str, ...]


def nodes_of(record: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The assets on record, in order, each with those of them that it was made of; without what does not apply."""
    told = [row for row in record if row["state"] != "not_applicable"]
    known = {str(row["asset"]) for row in told}
    return [
        Node(str(row["asset"]), str(row["state"]), tuple(name for name in row["made_of"] if name in known))
        for row in told
    ]


def layers_of(nodes: Sequence[Node]) -> list[list[Node]]:
    """The nodes by their distance from the upload; what came of nothing is in the first layer.

    What is made of each other in a circle cannot be, and is cut where it closes.
    """
    by_name = {node.name: node for node in nodes}
    depth: dict[str, int] = {}

    def depth_of(name: str, above: frozenset[str]) -> int:
        if name not in depth:
            needs = [each for each in by_name[name].made_of if each not in above]
            depth[name] = 1 + max((depth_of(each, above | {name}) for each in needs), default=-1)
        return depth[name]

    for node in nodes:
        depth_of(node.name, frozenset({node.name}))
    count = 1 + max(depth.values(), default=0)
    return [[node for node in nodes if depth[node.name] == layer] for layer in range(count)]


def picture(record: Sequence[Mapping[str, Any]]) -> Markup:
    """The SVG, without a size of its own: it takes that of its place."""
    layers = [layer for layer in layers_of(nodes_of(record)) if layer]
    rows = max((len(layer) for layer in layers), default=1)
    width = EDGE * 2 + len(layers) * BOX_W + max(0, len(layers) - 1) * GAP_X
    height = EDGE * 2 + rows * BOX_H + (rows - 1) * GAP_Y
    places: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        top = (height - len(layer) * BOX_H - (len(layer) - 1) * GAP_Y) / 2
        for row, node in enumerate(layer):
            places[node.name] = (EDGE + column * (BOX_W + GAP_X), top + row * (BOX_H + GAP_Y))
    nodes = [node for layer in layers for node in layer]
    edges = [_edge(places[name], places[node.name]) for node in nodes for name in node.made_of]
    boxes = [_box(node, *places[node.name]) for node in nodes]
    return Markup(  # noqa: S704  every text in it is escaped
        f'<svg class="lineage" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="What was made of what: {len(nodes)} assets; the table below lists the same.">'
        f'<g class="edges">{"".join(edges)}</g><g class="boxes">{"".join(boxes)}</g></svg>'
    )


def _edge(one: tuple[float, float], other: tuple[float, float]) -> str:
    x1, y1 = one[0] + BOX_W, one[1] + BOX_H / 2
    x2, y2 = other[0], other[1] + BOX_H / 2
    bend = max(24.0, (x2 - x1) / 2)
    return f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"/>'


def _box(node: Node, x: float, y: float) -> str:
    name, state = escape(node.name), escape(node.state)
    return Markup(  # noqa: S704  every text in it is escaped
        f'<g class="state-{state}"><title>{name}: {state.replace("_", " ")}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="6"/>'
        f'<text x="{x + BOX_W / 2:g}" y="{y + BOX_H / 2:g}">{name}</text></g>'
    )
