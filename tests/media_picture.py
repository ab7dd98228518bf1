"""What tests of the picture pass share: facts of a clip, tasks of one chunk, decoded outputs.

Belongs here: helpers for test_chunks, test_ladder, test_poster, test_proxy. Does not belong here: assertions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from processing.chunks.chunk_pass import make_unit
from processing.chunks.chunk_plan import unit_parameters
from processing.contracts.chunks import contract_unit
from processing.manifest import Outcome, Verdict
from processing.picture.proxy_plan import plan_sound
from processing.probe.media_info import facts_of
from processing.sound.plan import unit_parameters as sound_unit_parameters
from processing.sound.sound_pass import make_unit as make_sound_unit
from processing.work import Input, PlannedProduct, Result, Task
from tests.media import as_input, source_task


def clip_info(path: Path, *, target_s: int = 6, **changes: Any) -> dict[str, Any]:
    """media_info facts with chunks of about `target_s` seconds; `changes` replace facts of the picture."""
    info = facts_of(path, {"grid": {"target_s": target_s}})
    info["video"] |= changes
    return info


def film(path: Path, pictures: Sequence[npt.NDArray[np.uint8]]) -> Path:
    """A lossless film of RGB pictures, 25 a second."""
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def unit_task(
    path: Path,
    scratch: Path,
    info: Mapping[str, Any],
    unit: str,
    planned: Sequence[PlannedProduct],
    options: Mapping[str, Any] | None = None,
) -> Task:
    """The task for one chunk with those of `planned` that belong to it."""
    orders = tuple(p.ordered() for p in planned if p.unit == unit)
    told = unit_parameters(info, options or {}, unit)
    task = source_task(path, scratch, operation="processing.chunks.chunk_pass:make_unit", parameters=told)
    return replace(task, products=orders)


def make_products(
    path: Path,
    scratch: Path,
    info: Mapping[str, Any],
    planned: Sequence[PlannedProduct],
    options: Mapping[str, Any] | None = None,
) -> dict[str, Input]:
    """Every planned product of the picture pass, made chunk by chunk, as inputs of a derivative."""
    made: dict[str, Input] = {}
    for unit in sorted({product.unit for product in planned}):
        task = unit_task(path, scratch / unit, info, unit, planned, options)
        result: Result = make_unit(task)
        for name, facts in result.product_facts.items():
            made[name] = as_input(name, task.product_folder(name), facts)
    return made


def make_sound(path: Path, scratch: Path, info: Mapping[str, Any]) -> dict[str, Input]:
    """The first track's AAC as an input; empty for a silent source."""
    made: dict[str, Input] = {}
    for product in plan_sound(info, {}):
        task = source_task(path, scratch / "sound", parameters=sound_unit_parameters(info, {}, product.unit))
        order = product.ordered()
        task = replace(task, products=(order,))
        result = make_sound_unit(task)
        made[product.name] = as_input(
            product.name, task.product_folder(product.name), result.product_facts[product.name]
        )
    return made


def unit_verdicts(task: Task, result: Result) -> list[Verdict]:
    """What the contract of one unit says of what `make_unit` made, as production would ask it."""
    made = {name: as_input(name, task.product_folder(name), facts) for name, facts in result.product_facts.items()}
    return judge_unit(task, made)


def judge_unit(task: Task, made: Mapping[str, Input]) -> list[Verdict]:
    """The unit's contract over `made`, which a test may have spoiled."""
    parameters = {"unit": task.parameters, "products": {name: dict(item.facts) for name, item in made.items()}}
    return contract_unit(Task(operation="", parameters=parameters, scratch=task.scratch, inputs=made))


def broken(verdicts: Sequence[Verdict]) -> list[str]:
    """The clauses that failed."""
    return [verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED]
