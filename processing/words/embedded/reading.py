"""Reading without a network: the lines of one picture, by the models that the wheel of rapidocr carries.

Belongs here: showing them the picture at a size they read well, their answer as JSON. Does not belong here: which
models (reading_plan), what an answer means (answers/rapidocr).

The parts are called one by one, not through the package's one call, because that call does not tell which lines stood
on their heads, and enlarges a strip of 253 x 39 pixels to 4774 x 736, for which it takes 800 MB.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from processing.asking import ANSWER_FILE
from processing.failures import BadInput
from processing.words.embedded.reading_plan import FINDING, FORMAT, READING, SURE_AREA, TURNING, model_path
from processing.work import Input, Result, Task

LONGEST = 1920  # pixels of the longer side that is looked at: time and memory grow with the area
SHORTEST = 720  # pixels of the shorter side that letters of a small picture are enlarged to, ...
MOST_ENLARGED = 3  # ...but no more than this: there is nothing between the pixels
MARGIN = 32  # pixels around the picture: lines at its very edge are lost otherwise
MOST_PIXELS = 64_000_000  # of a picture that is shown at all: ours have 3 million
LEAST_SCORE = 0.5  # below it lines of nonsense appear on leaves and brick walls; the package's own threshold
SURE = 0.9  # below it a line is read the other way round as well: what is upside down scores 0.5 to 0.8
TURNED = "180"

Pixels = npt.NDArray[np.uint8]


class Reader:
    """The three models. About 0.8 CPU seconds to load, so that one is made for all pictures of a task."""

    def __init__(self) -> None:
        # Imported where it is needed: the runtime starts threads, and a nursery must have none when it forks.
        from rapidocr.main import RapidOCR, RapidOCRError

        self._nothing_found = RapidOCRError
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_vertical_padding": False,
                "Det.limit_type": "max",  # sizes are chosen here
                "Det.limit_side_len": LONGEST + 2 * MARGIN,
                "Det.model_path": str(model_path(FINDING)),  # a named file is never looked for on a network
                "Cls.model_path": str(model_path(TURNING)),
                "Rec.model_path": str(model_path(READING)),
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def areas(self, picture: Image.Image) -> list[tuple[list[list[int]], float]]:
        """Where text is, without reading it: boxes in pixels of the picture, and how sure that is (0..1)."""
        shown, scale = laid_out(picture)
        try:
            _, found = self._engine.detect_and_crop(shown, {})
        except self._nothing_found:
            return []
        pairs = zip(found.boxes, found.scores, strict=True)
        return [(_box(box, scale, picture.size, turned=False), float(score)) for box, score in pairs]

    def lines(self, picture: Image.Image) -> list[dict[str, Any]]:
        """Every line of a picture in mode RGB, as the answer has it: text, confidence (0..1), box, turned.

        What is surely text and could not be read has the text "".
        """
        shown, scale = laid_out(picture)
        try:
            crops, found = self._engine.detect_and_crop(shown, {})
            upright, turns = self._engine.cls_and_rotate(crops)
            read = self._both_ways(upright)
        except self._nothing_found:
            return []
        lines = []
        for box, area, turn, (said, score, is_other_way) in zip(
            found.boxes, found.scores, turns.cls_res, read, strict=True
        ):
            text = said if said.strip() and score >= LEAST_SCORE else ""
            if not text and area < SURE_AREA:
                continue
            turned = bool(TURNED in turn[0] and turn[1] > self._engine.cfg.Cls.cls_thresh) != is_other_way
            corners = _box(box, scale, picture.size, turned=turned)
            lines.append({"text": text, "confidence": round(float(score), 4), "box": corners, "turned": turned})
        return lines

    def _both_ways(self, crops: list[Pixels]) -> list[tuple[str, float, bool]]:
        """Text, score, and whether it was read the other way round, of lines as they were turned.

        The model that tells which stand on their heads takes small print for upright.
        """
        first = self._engine.recognize_txt(crops)
        read = [(text, float(score), False) for text, score in zip(first.txts, first.scores, strict=True)]
        doubtful = [at for at, (_, score, _) in enumerate(read) if score < SURE]
        if doubtful:
            again = self._engine.recognize_txt([np.ascontiguousarray(crops[at][::-1, ::-1]) for at in doubtful])
            for at, text, score in zip(doubtful, again.txts, again.scores, strict=True):
                if float(score) > read[at][1] and text.strip():
                    read[at] = (text, float(score), True)
        return read


def answer(task: Task) -> Result:
    """Write the answer to one question of task `reading`: `{"width", "height", "lines": [...]}`.

    Raises BadInput for a picture that cannot be decoded or is larger than `MOST_PIXELS`.
    """
    _answer(Reader(), task.inputs["ask"], task.out)
    return Result(facts={"format": FORMAT, "usage": {}})


def answers(task: Task) -> Result:
    """Write the answers to several questions, each into a folder of its input's name. The models are loaded once.

    Raises as `answer` does, for all of them.
    """
    reader = Reader()
    for name, ask in task.inputs.items():
        _answer(reader, ask, task.out / name)
    return Result(facts={"format": FORMAT, "usage": {}})


def _answer(reader: Reader, ask: Input, to: Path) -> None:
    (entry,) = ask.files  # under whichever name
    picture = opened(ask.path(entry.path))
    document = {"width": picture.width, "height": picture.height, "lines": reader.lines(picture)}
    to.mkdir(parents=True, exist_ok=True)
    (to / ANSWER_FILE).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8", newline="\n")


def opened(path: Path) -> Image.Image:
    """A picture as it is asked about, mode RGB. Raises BadInput where it is none."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise BadInput("the picture to read is too large", cure="ask with a smaller one")
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput("the picture to read cannot be decoded", cure="ask again", detail=repr(error)) from error


def laid_out(picture: Image.Image) -> tuple[Pixels, float]:
    """The picture as the models see it, BGR with a margin of its own edge, and how much it was enlarged."""
    scale = enlargement(*picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    scaled = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(scaled, np.uint8)[:, :, ::-1]
    return np.ascontiguousarray(np.pad(pixels, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")), scale


def enlargement(width: int, height: int) -> float:
    """By how much a picture is enlarged (below 1: shrunk) before it is read."""
    longest, shortest = max(width, height), min(width, height)
    if longest >= LONGEST or shortest >= SHORTEST:
        return min(1.0, LONGEST / longest)
    return min(MOST_ENLARGED, SHORTEST / shortest, LONGEST / longest)


def _box(corners: Any, scale: float, size: tuple[int, int], *, turned: bool) -> list[list[int]]:
    """Four points in pixels of the picture, the first where reading begins, then clockwise as the text sees it."""
    points = [
        [min(max(round((float(value) - MARGIN) / scale), 0), side) for value, side in zip(point, size, strict=True)]
        for point in corners
    ]
    return points[2:] + points[:2] if turned else points
