"""Answers of models that write: the text where there is one, else a sentence why it cannot be used."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.failures import ContractBroken
from processing.manifest import list_files
from processing.words.answers import bedrock_converse, extractive, openai_chat, writing
from processing.work import Input
from tests.summaries import chat

READERS = (bedrock_converse.text_of, extractive.text_of, openai_chat.text_of)


def converse(content: list[Any], reason: str = "end_turn") -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"output": {"message": message}, "stopReason": reason, "usage": {}}).encode()


def test_the_text_of_a_chat_completion_is_found() -> None:
    assert openai_chat.text_of(chat({"a": 1})[0]) == '{"a": 1}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (chat({"a": 1}, reason="length")[0], "cut off at the most tokens"),
        (chat({"a": 1}, reason="content_filter")[0], "content filter withheld it"),
        (chat({"a": 1}, reason="tool_calls")[0], "another reason than being complete: tool_calls"),
        (chat(None, refusal="I can't help with that.")[0], "the model refused: I can't help with that."),
        (chat("  \n")[0], "its text is empty"),
        (chat(None)[0], "its text is empty"),
        (b'{"choices": []}', "it holds no choice"),
        (b'{"choices": [{"message": null}]}', "the message is no object"),
        (b'{"error": {"code": 500}}', "it is an error"),
        (b"", "it is empty"),
        (b'{"choices": [{"mess', "it is no JSON, or was cut off"),
    ],
)
def test_a_chat_completion_that_says_nothing_is_told_why(body: bytes, sentence: str) -> None:
    with pytest.raises(ContractBroken) as caught:
        openai_chat.text_of(body)
    assert sentence in caught.value.sentence


def test_the_text_of_a_converse_message_is_found_without_its_reasoning() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    assert bedrock_converse.text_of(converse([thought, {"text": '{"a": '}, {"text": "1}"}])) == '{"a": 1}'


def test_the_input_of_the_tool_is_the_answer_where_one_is_used() -> None:
    used = {"toolUse": {"toolUseId": "x", "name": "answer", "input": {"a": 1}}}
    assert bedrock_converse.text_of(converse([{"text": "I use the tool."}, used], "tool_use")) == '{"a": 1}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (converse([{"text": "x"}], "max_tokens"), "cut off at the most tokens"),
        (converse([{"text": "x"}], "model_context_window_exceeded"), "where the model's window ends"),
        (converse([{"text": "x"}], "guardrail_intervened"), "a guardrail withheld it"),
        (converse([{"text": "x"}], "content_filtered"), "a content filter withheld it"),
        (converse([{"text": "x"}], "malformed_model_output"), "another reason than being complete"),
        (converse([]), "its text is empty"),
        (converse([{"text": "   "}]), "its text is empty"),
        (converse([{"text": 7}]), "a text is no text"),
        (converse(["x"]), "a block of the content is no object"),
        (b'{"stopReason": "end_turn"}', "the output is no object"),
        (b"[]", "it is no JSON object"),
    ],
)
def test_a_converse_message_that_says_nothing_is_told_why(body: bytes, sentence: str) -> None:
    with pytest.raises(ContractBroken) as caught:
        bedrock_converse.text_of(body)
    assert sentence in caught.value.sentence


def test_the_embedded_answer_must_say_that_it_is_extractive() -> None:
    assert extractive.text_of(b'{"method": "extractive", "answer": {"a": 1}}') == '{"a": 1}'
    for body in (b'{"answer": {"a": 1}}', b'{"method": "extractive", "answer": "x"}'):
        with pytest.raises(ContractBroken):
            extractive.text_of(body)


def test_a_format_nobody_reads_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_bytes(b"{}")
    answer = Input("writing/check", tmp_path, list_files(tmp_path), {"format": "somebody.v9"}, "")
    with pytest.raises(ContractBroken, match=r"somebody\.v9"):
        writing.text_of(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "output", "stopReason", "finish_reason", "answer", "method", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.binary(max_size=60))
def test_no_bytes_make_a_reader_fail_otherwise_than_with_a_sentence(value: Any) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    for read in READERS:
        with contextlib.suppress(ContractBroken):
            assert isinstance(read(body), str)
