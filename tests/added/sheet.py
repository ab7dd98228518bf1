"""A derivative nobody foresaw, of samples that exist: all of them side by side."""

from __future__ import annotations

from PIL import Image

from processing.contracts.clauses import expect
from processing.manifest import Verdict
from processing.work import Result, Task

FILE = "sheet.png"


def make(task: Task) -> Result:
    """One row of pictures."""
    pictures = [
        Image.open(task.inputs[name].path(sample["file"]))
        for name in sorted(task.inputs)
        if name.startswith("samples/")
        for sample in task.inputs[name].facts["samples"]
    ]
    sheet = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (sum(before.width for before in pictures[:number]), 0))
    sheet.save(task.out / FILE)
    return Result(facts={"pictures": len(pictures)})


def contract(task: Task) -> list[Verdict]:
    """It shows something."""
    assert task.made is not None
    with Image.open(task.made.path(FILE)) as sheet:
        return [expect("shows something", sheet.getextrema() != ((0, 0),) * 3, "black", "a picture")]
