"""The contract between who asks for work and who does it: a task goes in, a result comes out.

Belongs here: `Task`, `Result` and their JSON, `Bounds`, and `Work`, the pure description of one derivative.
Does not belong here: running a task (processing/worker, resources/compute) or deciding which run (media_assets).

An operation is named "package.module:function" and has the signature `(Task) -> Result`; it reads only the paths
its task names and writes only below `task.out`. A contract has the signature `(Task) -> list[Verdict]` and reads
what was made through `task.made`. A tap is a class, see processing/chunks/taps.py.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.asking import Ask, AskTask
from processing.completeness import WHOLE
from processing.manifest import DeterminismClass, FileEntry

OPERATION_ROOT = "processing."  # only code of this room can be named in a task


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The original: an absolute path whose last part is opaque, its sha256 (hex) and size in bytes."""

    path: Path
    sha256: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "sha256": self.sha256, "bytes": self.bytes}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SourceFile:
        return cls(Path(value["path"]), value["sha256"], int(value["bytes"]))


@dataclass(frozen=True, slots=True)
class Input:
    """An artifact as a task sees it: a local, readable folder, its files, and the facts of its manifest.

    `recipe_hash` says where it is published; it is empty for what is only being made. `completeness` and `gaps` are
    those of its manifest, `warned` the clauses of its contract that were kept only just, each with what was found.
    """

    name: str
    folder: Path
    files: tuple[FileEntry, ...]
    facts: Mapping[str, Any]
    data_version: str
    recipe_hash: str = ""
    completeness: Mapping[str, int] = field(default_factory=lambda: dict(WHOLE))
    gaps: tuple[Mapping[str, Any], ...] = ()
    warned: tuple[str, ...] = ()

    def path(self, relative: str) -> Path:
        """The absolute path of one of its files. Raises KeyError for a file the manifest does not name."""
        if not any(entry.path == relative for entry in self.files):
            raise KeyError(f"{self.name} has no file {relative}")
        return self.folder / relative

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "folder": str(self.folder),
            "files": [entry.to_json() for entry in self.files],
            "facts": dict(self.facts),
            "data_version": self.data_version,
            "recipe_hash": self.recipe_hash,
            "completeness": dict(self.completeness),
            "gaps": [dict(gap) for gap in self.gaps],
            "warned": list(self.warned),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Input:
        return cls(
            value["name"],
            Path(value["folder"]),
            tuple(FileEntry.from_json(entry) for entry in value["files"]),
            value["facts"],
            value["data_version"],
            value["recipe_hash"],
            value["completeness"],
            tuple(value["gaps"]),
            tuple(value["warned"]),
        )


@dataclass(frozen=True, slots=True)
class ProductOrder:
    """One product a pass is to make: its name, the tap that makes it, that tap's parameters.

    Its files go below `task.product_folder(name)`. `reads` are products of the same unit that it is made from as well:
    ordered beside it, or among the task's inputs.
    """

    name: str
    tap: str
    parameters: Mapping[str, Any]
    reads: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "tap": self.tap, "parameters": dict(self.parameters), "reads": list(self.reads)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProductOrder:
        return cls(value["name"], value["tap"], value["parameters"], tuple(value["reads"]))


NOT_APPLICABLE = "not_applicable"  # the fact by which a result says that there is nothing to make, and why
LENT_FILE = "lent"  # in a task's scratch folder, where a second core is lent to it


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker gets. `scratch` is the one folder it may write to.

    `products` is empty except for a pass. `made` is set for a contract only: what is to be judged. `texts` are the text
    files that lay beside the source.
    """

    operation: str
    parameters: Mapping[str, Any]
    scratch: Path
    source: SourceFile | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    products: tuple[ProductOrder, ...] = ()
    made: Input | None = None
    correlation: str = ""
    seed: int = 0
    texts: tuple[SourceFile, ...] = ()

    @property
    def out(self) -> Path:
        """The folder whose files become the artifact."""
        return self.scratch / "out"

    @property
    def asks(self) -> Path:
        """The folder below which the files of questions lie (processing/asking)."""
        return self.scratch / "asks"

    def product_folder(self, name: str) -> Path:
        """The folder whose files become the product `name` (a slash in a name becomes a folder level)."""
        return self.scratch / "products" / name

    @property
    def may_spread(self) -> bool:
        """Whether a second core is lent to this task, which may happen while it works."""
        return os.path.lexists(self.scratch / LENT_FILE)

    def lend(self) -> None:
        """Let the task use a second core from now on; what it makes is the same."""
        os.close(os.open(self.scratch / LENT_FILE, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    @property
    def original(self) -> SourceFile:
        """The source file. Raises ValueError when the task was not given one (an undeclared read)."""
        if self.source is None:
            raise ValueError(f"{self.operation} was not given the source: declare reads_source")
        return self.source

    def to_json(self) -> dict[str, Any]:
        return {
            "operation": self.operation,
            "parameters": dict(self.parameters),
            "scratch": str(self.scratch),
            "source": self.source.to_json() if self.source else None,
            "inputs": {name: item.to_json() for name, item in self.inputs.items()},
            "products": [order.to_json() for order in self.products],
            "made": self.made.to_json() if self.made else None,
            "correlation": self.correlation,
            "seed": self.seed,
            "texts": [text.to_json() for text in self.texts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        return cls(
            operation=value["operation"],
            parameters=value["parameters"],
            scratch=Path(value["scratch"]),
            source=SourceFile.from_json(value["source"]) if value["source"] else None,
            inputs={name: Input.from_json(item) for name, item in value["inputs"].items()},
            products=tuple(ProductOrder.from_json(order) for order in value["products"]),
            made=Input.from_json(value["made"]) if value["made"] else None,
            correlation=value["correlation"],
            seed=int(value["seed"]),
            texts=tuple(SourceFile.from_json(text) for text in value["texts"]),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """All that a worker returns: facts for the manifest, the number of encoders it opened, and what was missing.

    A pass puts its facts into `product_facts`, by product name. `completeness` is the share of media seconds that
    could be made, a rational; `gaps` are the spans that could not. With `asks` the task is not done: it is run again
    with their answers among its inputs.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    product_facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoder_calls: int = 0
    completeness: Mapping[str, int] = field(default_factory=lambda: dict(WHOLE))
    gaps: tuple[Mapping[str, Any], ...] = ()
    asks: tuple[Ask, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "facts": dict(self.facts),
            "product_facts": {name: dict(facts) for name, facts in self.product_facts.items()},
            "encoder_calls": self.encoder_calls,
            "completeness": dict(self.completeness),
            "gaps": [dict(gap) for gap in self.gaps],
            "asks": [ask.to_json() for ask in self.asks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Result:
        return cls(
            facts=value["facts"],
            product_facts=value["product_facts"],
            encoder_calls=int(value["encoder_calls"]),
            completeness=value["completeness"],
            gaps=tuple(value["gaps"]),
            asks=tuple(Ask.from_json(ask) for ask in value["asks"]),
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one task may use. Wall clock = `wall_base_s` + `wall_per_media_s` x media seconds of the task.

    `memory_mb` bounds the worker's resident peak, `output_mb` the largest single file it may write, `attempts`
    the tries after a sick worker (one layer, resources/compute).
    """

    wall_base_s: float
    wall_per_media_s: float
    memory_mb: int
    output_mb: int = 8192
    attempts: int = 2

    def __post_init__(self) -> None:
        for name in ("wall_base_s", "memory_mb", "output_mb", "attempts"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive: work without a bound cannot be declared")
        if self.wall_per_media_s < 0:
            raise ValueError("wall_per_media_s cannot be negative")

    def wall_s(self, media_s: float) -> float:
        """Wall-clock bound in seconds of a task over `media_s` seconds of media."""
        return self.wall_base_s + self.wall_per_media_s * media_s


@dataclass(frozen=True, slots=True)
class PlannedProduct:
    """One product a pass should have, before anyone asked whether it exists.

    `name` is unique within the pass ("ladder/720/00003"), `unit` groups products made by one task (a chunk, a
    track) and `media_s` is that unit's media length. `tap` and `code_version` and `parameters` enter the
    product's own recipe, and so do the recipes of the products it `reads`, which are of the same unit.
    """

    name: str
    unit: str
    tap: str
    code_version: str
    parameters: Mapping[str, Any]
    media_s: float
    reads: tuple[str, ...] = ()

    def ordered(self) -> ProductOrder:
        """What the task that makes it is told."""
        return ProductOrder(self.name, self.tap, self.parameters, self.reads)


@dataclass(frozen=True, slots=True)
class Tap:
    """What a derivative wants taken from a pass: `plan` turns facts into the products it needs.

    `pass_asset` is the pass it belongs to ("chunks" or "soundtrack"). `plan(media_info facts, options)` is pure and
    imports no media library. A recipe holds the data versions of a tap's products under its `name`.
    """

    name: str
    pass_asset: str
    plan: Callable[[Mapping[str, Any], Mapping[str, Any]], list[PlannedProduct]]


@dataclass(frozen=True, slots=True)
class Work:
    """The pure description of one derivative: everything `resources/production` needs to make it.

    `operation` and `contract` are "module:function" below `processing.`. `needs` are the assets whose artifacts it
    reads; `taps` what it wants of the passes (their products are inputs, by product name). `parameters(info, options)`
    gives the recipe's parameters; `applies(info, options)` gives None or the sentence why the derivative does not
    apply to such a source. Both are pure. `reads_source` says that it opens the original, `reads_texts` the text files
    beside it. A pass (`is_pass`) has the operation of one unit; `unit_parameters(info, options, unit)` is what that
    task gets and what enters each of its products' recipes, next to the product's own parameters; `unit_contract`
    judges what the task made. A pass may have taps of its own: what it makes whoever else wants something of it.
    `names_source` marks the few artifacts whose recipe contains the source's key, `links` those whose facts name files
    of others as theirs, `records` one that is told what is on record of the others (`options["record"]`), `publishes`
    the one whose facts lay out the published folder. `spreads` says that its tasks can use a second core that is lent
    to them while they work.
    `requires` are those of its needs without which there is nothing to make: where one does not apply, neither does
    this. `asks` are the tasks of models it may put questions to, `awaits` what it is made without while that is not
    settled, and once more when it is. `corrected` makes it where a person corrected it, from what the machine made
    (the input `uncorrected`) and its own needs.
    """

    asset: str
    code_version: str
    operation: str
    contract: str
    bounds: Bounds
    determinism: DeterminismClass
    needs: tuple[str, ...] = ()
    taps: tuple[Tap, ...] = ()
    reads_source: bool = False
    reads_texts: bool = False
    is_pass: bool = False
    unit_contract: str = ""
    names_source: bool = False
    publishes: bool = False
    links: bool = False
    records: bool = False
    encodes: bool = True
    spreads: bool = False
    requires: tuple[str, ...] = ()
    asks: tuple[AskTask, ...] = ()
    awaits: tuple[str, ...] = ()
    corrected: Work | None = None
    parameters: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] = lambda info, options: {}
    unit_parameters: Callable[[Mapping[str, Any], Mapping[str, Any], str], Mapping[str, Any]] = (
        lambda info, options, unit: {}
    )
    applies: Callable[[Mapping[str, Any], Mapping[str, Any]], str | None] = lambda info, options: None
    media_s: Callable[[Mapping[str, Any]], float] = lambda info: float(info.get("duration_s_bound", 0.0))

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The assets that must be there first: its needs and the passes it taps, each once, in order.

        A pass may tap itself: those products are made whoever else wants them.
        """
        passes = (tap.pass_asset for tap in self.taps if tap.pass_asset != self.asset)
        return tuple(dict.fromkeys([*self.needs, *passes]))

    @property
    def comes_after(self) -> tuple[str, ...]:
        """The assets that are made before it where both are wanted: what it depends on, and what it awaits."""
        return tuple(dict.fromkeys([*self.depends_on, *self.awaits]))


def is_operation(dotted: str) -> bool:
    """Whether a name has the form of one that `resolve` takes: `processing.module:function`."""
    module_name, _, attribute = dotted.partition(":")
    return module_name.startswith(OPERATION_ROOT) and attribute.isidentifier()


def resolve(dotted: str) -> Callable[..., Any]:
    """The operation, contract or tap a task names. Raises ValueError outside this room, AttributeError if absent."""
    if not is_operation(dotted):
        raise ValueError(f"{dotted!r} does not name an operation of {OPERATION_ROOT}*")
    module_name, _, attribute = dotted.partition(":")
    found = getattr(importlib.import_module(module_name), attribute)
    if not callable(found):
        raise ValueError(f"{dotted!r} is not callable")
    return found  # type: ignore[no-any-return]
