"""Answers about pictures and texts: what providers say becomes one shape, and what cannot be used is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.failures import ContractBroken
from processing.words.answers import (
    aws_rekognition,
    aws_textract,
    bedrock_titan_embedding,
    openai_embeddings,
    openai_vision,
    openai_vision_labels,
    rapidocr,
)
from processing.words.answers.excuses import is_excuse, may_be_excuse
from processing.words.answers.lines import direction, read_lines
from processing.words.answers.seen import read_seen
from processing.words.answers.vectors import read_vectors
from tests.asking_trial import answer

SIZE = (640, 360)


def chat(content: Any, **changes: Any) -> bytes:
    """A chat completion; `changes` go to its choice or its message."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    message = {"role": "assistant", "content": text, "refusal": None} | changes.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | changes
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 9}}).encode()


def block(text: str, left: float, top: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    """A line as Textract writes it."""
    right, bottom = left + width, top + height
    corners = [{"X": x, "Y": y} for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    box = {"Left": left, "Top": top, "Width": width, "Height": height}
    geometry = {"BoundingBox": box, "Polygon": corners}
    return {"BlockType": "LINE", "Id": text, "Text": text, "Confidence": 99.5, "Geometry": geometry, **more}


def textract(*blocks: dict[str, Any]) -> bytes:
    return json.dumps({"DocumentMetadata": {"Pages": 1}, "Blocks": [{"BlockType": "PAGE"}, *blocks]}).encode()


READ: dict[str, bytes] = {
    rapidocr.FORMAT: json.dumps(
        {
            "width": 640,
            "height": 360,
            "lines": [
                {
                    "text": "Gate  27",
                    "confidence": 0.995,
                    "box": [[64, 36], [320, 36], [320, 72], [64, 72]],
                    "turned": False,
                }
            ],
        }
    ).encode(),
    aws_textract.FORMAT: textract(block("Gate 27", 0.1, 0.1, 0.4, 0.1), {"BlockType": "WORD", "Text": "Gate"}),
    openai_vision.FORMAT: chat({"lines": [{"text": "Gate 27", "box": [100, 100, 500, 200], "confidence": 995}]}),
}


@pytest.mark.parametrize("name", READ)
def test_a_line_is_the_same_whoever_read_it(name: str, tmp_path: Path) -> None:
    (line,) = read_lines(answer(tmp_path, READ[name], name), SIZE)
    assert line.text == "Gate 27"
    assert line.box == ((64, 36), (320, 36), (320, 72), (64, 72))
    assert line.confidence == 995
    assert not line.turned


def test_a_picture_without_text_has_no_lines() -> None:
    assert aws_textract.read(textract(), SIZE) == []
    assert openai_vision.read(chat({"lines": []}), SIZE) == []
    assert rapidocr.read(b'{"width": 640, "height": 360, "lines": []}', SIZE) == []


def test_the_embedded_reader_tells_what_it_could_not_read() -> None:
    (line,) = rapidocr.read(READ[rapidocr.FORMAT].replace(b"Gate  27", b""), SIZE)
    assert line.text == ""
    with pytest.raises(ContractBroken, match="no text"):
        openai_vision.read(READ[openai_vision.FORMAT].replace(b"Gate 27", b""), SIZE)


def test_textract_says_that_a_line_stands_on_its_head() -> None:
    told = block("Gate 27", 0.1, 0.1, 0.4, 0.1)
    told["Geometry"]["Polygon"] = told["Geometry"]["Polygon"][2:] + told["Geometry"]["Polygon"][:2]
    (line,) = aws_textract.read(textract(told), SIZE)
    assert line.turned
    assert line.box[0] == (320, 72)


def test_a_box_over_the_edge_is_cut_there() -> None:
    (line,) = aws_textract.read(textract(block("edge", 0.9, 0.95, 0.11, 0.06)), SIZE)
    assert line.box[2] == (640, 360)


REFUSED: list[tuple[Callable[[bytes, tuple[int, int]], Any], bytes, str]] = [
    (rapidocr.read, b"", "empty"),
    (rapidocr.read, b'{"width": 640, "height": 360, "lines": [', "cut off"),
    (rapidocr.read, b'{"width": 320, "height": 360, "lines": []}', "320 x 360"),
    (rapidocr.read, b'{"width": 640, "height": 360}', "lists no lines"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"0.995", b"1.7"), "confidence"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"0.995", b"NaN"), "no JSON"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"[320, 36]", b"[999, 36]"), "not between"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"[320, 36], ", b""), "four points"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"Gate  27", b"\\u0000 \\t"), "no text"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"Gate  27", b"\\ud800"), "half a character"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"Gate  27", b"x" * 2001), "2001 characters"),
    (rapidocr.read, READ[rapidocr.FORMAT].replace(b"false", b'"no"'), "turned"),
    (aws_textract.read, b'{"__type": "ThrottlingException"}', "no blocks"),
    (aws_textract.read, textract({"BlockType": "WORD", "Text": "Gate"}), "no line"),
    (aws_textract.read, textract(block("far", 0.1, 0.1, 4.0, 0.1)), "a place"),
    (aws_textract.read, textract(block("sure", 0.1, 0.1, 0.4, 0.1, Confidence=101)), "confidence"),
    (aws_textract.read, b"[]", "no JSON object"),
    (openai_vision.read, chat("I'm sorry, I can't help with that."), "no JSON"),
    (openai_vision.read, chat("", message={"refusal": "I can't assist with that."}), "refused: I can't assist"),
    (openai_vision.read, chat({"lines": []}, finish_reason="length"), "cut off"),
    (openai_vision.read, chat({"lines": []}, finish_reason="content_filter"), "filter"),
    (openai_vision.read, chat({"text": "none"}), "lists no lines"),
    (openai_vision.read, b'{"error": {"message": "overloaded"}}', "error"),
    (openai_vision.read, chat({"lines": [{"text": "a", "box": [0, 0, 1001, 9], "confidence": 1}]}), "box"),
    (openai_vision.read, chat({"lines": [{"text": "a", "box": [500, 0, 400, 9], "confidence": 1}]}), "no area"),
    (openai_vision.read, chat({"lines": [{"text": "a", "box": [0, 9], "confidence": 1}]}), "2 edges"),
    (openai_vision.read, chat({"lines": [{"text": "a", "box": [0, 0, 9, 9], "confidence": 0.9}]}), "whole number"),
]


@pytest.mark.parametrize("at", range(len(REFUSED)))
def test_what_cannot_be_used_is_refused_with_a_sentence(at: int) -> None:
    read, content, says = REFUSED[at]
    with pytest.raises(ContractBroken, match=says) as caught:
        read(content, SIZE)
    assert caught.value.cure
    assert "\n" not in caught.value.sentence


def test_a_format_nobody_knows_is_refused(tmp_path: Path) -> None:
    given_ = answer(tmp_path, b"{}", "somebody.else.v9")
    for read in (lambda: read_lines(given_, SIZE), lambda: read_seen(given_, SIZE), lambda: read_vectors(given_, 1)):
        with pytest.raises(ContractBroken, match=r"somebody\.else\.v9"):
            read()


NAMES = [
    *("lines", "text", "box", "confidence", "width", "height", "turned", "Blocks", "BlockType", "Text", "Geometry"),
    *("labels", "Labels", "Name", "Instances", "data", "embedding", "vectors", "choices", "message", "content"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)
READERS: list[Callable[[bytes], Any]] = [
    *(
        lambda content, read=read: read(content, SIZE)
        for read in (rapidocr.read, aws_textract.read, openai_vision.read)
    ),
    *(lambda content, read=read: read(content, SIZE) for read in (aws_rekognition.read, openai_vision_labels.read)),
    *(lambda content, read=read: read(content, 2) for read in (openai_embeddings.read, bedrock_titan_embedding.read)),
]  # type: ignore[misc]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(READERS), st.one_of(st.binary(max_size=60), JSON.map(lambda v: json.dumps(v).encode())))
def test_any_bytes_are_read_or_refused(read: Callable[[bytes], Any], content: bytes) -> None:
    """A reader that raised anything else would end its worker with a traceback for a sentence."""
    for wrapped in (content, chat(content.decode("latin-1"))):
        try:
            read(wrapped)
        except ContractBroken:
            continue


@given(st.data())
def test_any_spoilt_answer_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(READ)))
    content = bytearray(READ[name])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    read = {
        rapidocr.FORMAT: rapidocr.read,
        aws_textract.FORMAT: aws_textract.read,
        openai_vision.FORMAT: openai_vision.read,
    }
    try:
        lines = read[name](bytes(content), SIZE)
    except ContractBroken:
        return
    for line in lines:
        assert line.text.strip() or name == rapidocr.FORMAT
        assert all(0 <= x <= SIZE[0] and 0 <= y <= SIZE[1] for x, y in line.box)


def rekognition(**changes: Any) -> bytes:
    dog = {
        "Name": "Dog",
        "Confidence": 98.0,
        "Parents": [{"Name": "Animal"}],
        "Instances": [
            {"BoundingBox": {"Left": 0.5, "Top": 0.5, "Width": 0.25, "Height": 0.5}, "Confidence": 97.5},
            {"BoundingBox": {"Left": -0.1, "Top": 0.0, "Width": 0.3, "Height": 0.5}, "Confidence": 60.0},
        ],
    }
    value: dict[str, Any] = {
        "labels": {"Labels": [dog, {"Name": "Outdoors", "Confidence": 80.0, "Parents": [], "Instances": []}]},
        "moderation": {"ModerationLabels": [{"Name": "Smoking", "ParentName": "Tobacco", "Confidence": 70.0}]},
        "faces": {
            "FaceDetails": [{"BoundingBox": {"Left": 0, "Top": 0, "Width": 0.5, "Height": 0.5}, "Confidence": 99}]
        },
    }
    return json.dumps(value | changes).encode()


def test_rekognition_names_each_thing_where_it_is() -> None:
    seen = aws_rekognition.read(rekognition(), SIZE)
    assert [(label.name, label.confidence) for label in seen.labels] == [("Dog", 975), ("Dog", 600), ("Outdoors", 800)]
    assert seen.labels[0].box == ((320, 180), (480, 180), (480, 360), (320, 360))
    assert seen.labels[1].box is not None
    assert seen.labels[1].box[0] == (0, 0)  # cut at the picture's edge
    assert seen.labels[2].box is None
    assert seen.labels[0].parents == ("Animal",)
    assert seen.moderation is not None
    assert (seen.moderation[0].name, seen.moderation[0].parents) == ("Smoking", ("Tobacco",))
    assert seen.faces is not None
    assert seen.faces[0].confidence == 990


def test_what_was_not_looked_for_is_not_called_absent() -> None:
    seen = aws_rekognition.read(json.dumps({"labels": {"Labels": []}}).encode(), SIZE)
    assert (seen.labels, seen.moderation, seen.faces) == ((), None, None)


def test_a_model_that_sees_tells_the_same() -> None:
    told = {
        "labels": [
            {"name": "Dog", "confidence": 975, "box": [500, 500, 750, 1000]},
            {"name": "Outdoors", "confidence": 800, "box": None},
        ],
        "moderation": [{"name": "Smoking", "confidence": 700}],
        "faces": [{"box": [0, 0, 500, 500], "confidence": 990}],
    }
    seen = openai_vision_labels.read(chat(told), SIZE)
    assert seen.labels[0].box == aws_rekognition.read(rekognition(), SIZE).labels[0].box
    assert seen.labels[1].box is None
    assert seen.moderation is not None
    assert seen.faces is not None
    assert (len(seen.moderation), len(seen.faces)) == (1, 1)
    with pytest.raises(ContractBroken, match="no faces"):
        openai_vision_labels.read(chat({"labels": [], "moderation": []}), SIZE)
    with pytest.raises(ContractBroken, match="no name"):
        openai_vision_labels.read(chat(told | {"labels": [{"name": " ", "confidence": 1, "box": None}]}), SIZE)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": None}, "Labels is no object"),
        ({"labels": {"Message": "x"}}, "no Labels"),
        ({"labels": {"Labels": [{"Name": "Dog", "Confidence": 300}]}}, "confidence"),
        ({"faces": {"FaceDetails": [{"Confidence": 9}]}}, "box"),
        ({"moderation": {"Labels": []}}, "no ModerationLabels"),
    ],
)
def test_rekognition_that_cannot_be_used_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractBroken, match=says):
        aws_rekognition.read(rekognition(**changes), SIZE)


def embeddings(*vectors: Any, indices: list[int] | None = None) -> bytes:
    places = indices or list(range(len(vectors)))
    data = [{"object": "embedding", "index": at, "embedding": v} for at, v in zip(places, vectors, strict=True)]
    return json.dumps({"object": "list", "data": data, "usage": {"total_tokens": 3}}).encode()


def test_vectors_come_in_the_order_of_the_texts(tmp_path: Path) -> None:
    one = answer(tmp_path / "a", embeddings([0.5, 0.25], [1, 2], indices=[1, 0]), "openai.embeddings.v1")
    other = {"vectors": [{"embedding": [1, 2], "inputTextTokenCount": 3}, {"embedding": [0.5, 0.25]}]}
    titan = answer(tmp_path / "b", json.dumps(other).encode(), "bedrock.titan_embedding.v1")
    for each in (one, titan):
        vectors = read_vectors(each, 2)
        assert vectors.dtype == np.dtype("<f4")
        assert vectors.tolist() == [[1, 2], [0.5, 0.25]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (embeddings([1.0]), "1 vectors, of 2"),
        (embeddings([1.0], [2.0], [3.0]), r"not between"),
        (embeddings([1.0], [2.0], indices=[0, 0]), "twice"),
        (embeddings([1.0], []), "empty"),
        (embeddings([1.0], [1.0, 2.0]), "between 1 and 2 dimensions"),
        (embeddings([1.0], [math.inf]), "no JSON"),
        (embeddings([1.0], [1e30]), "coordinate"),
        (embeddings([1.0], ["one"]), "no number"),
        (embeddings([1.0], [True]), "no number"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ContractBroken, match=says):
        read_vectors(answer(tmp_path, content, "openai.embeddings.v1"), 2)


@pytest.mark.parametrize(
    ("text", "certain", "likely"),
    [
        ("I'm sorry, but I can't assist with that request.", True, True),
        ("I\u2019m sorry, I cannot read the text in this image.", True, True),
        ("As an AI language model, I do not see pictures", True, True),
        ("There is no visible text in the picture.", True, True),
        ("I'm sorry, Dave, I'm afraid I can't do that", False, True),
        ("I cannot go on", False, True),
        ("Sorry, we are closed", False, False),
        ("The quick brown dog", False, False),
        ("You can't help falling in love", False, False),
    ],
)
def test_excuses_are_known_by_their_words(text: str, certain: bool, likely: bool) -> None:
    assert (is_excuse(text), may_be_excuse(text)) == (certain, likely)


@pytest.mark.parametrize(
    ("text", "runs"),
    [("Gate 27", "ltr"), ("שלום עולם 12", "rtl"), ("مرحبا abc", "rtl"), ("01:00", "ltr"), ("我是", "ltr")],
)
def test_a_line_says_which_way_it_runs(text: str, runs: str) -> None:
    assert direction(text) == runs
