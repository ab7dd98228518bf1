"""Models behind the interface of OpenAI, at any address: transcription, chat with a schema, pictures, embeddings.

Belongs here: what a question looks like as a request, and what its end means. Does not belong here: the network's
bounds (exchange) or reading what was answered (processing/words/answers).

Of a release it reads "model", "base_url" (up to and with "/v1"), "key_env" (the environment variable that holds the
key; empty where the server wants none), "dimensions" (of vectors), "options" (further fields of the request, such as a
temperature), "limit_parameter" ("max_tokens" for servers that do not know "max_completion_tokens"), "tokens_a_picture"
and "tokens_a_second" (what a picture and a second of sound are charged at most).

Interface: OpenAI API reference, "Audio", "Chat Completions", "Embeddings", as the SDK of version 3 speaks it.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from processing.asking import AskTask
from resources.providers.bodies import amount, at, count, parsed, text
from resources.providers.exchange import Exchange, Network, retry_after_s
from resources.providers.port import (
    ASKERS_FAULT,
    Answer,
    CallFailure,
    Failed,
    Faulty,
    Provider,
    Question,
    Refused,
    Usage,
    Vacuous,
)

if TYPE_CHECKING:
    from openai import OpenAI

TOKENS_A_PICTURE = 50_000.0  # the dearest model charges 2833 and 8 tiles of 5667
TOKENS_A_SECOND = 50.0  # of sound: 10 in, and out as many as the fastest speech has
TOKENS_A_MESSAGE = 64  # roles and separators around a text
OVERLOADED = 529
QUOTA_SPENT = "insufficient_quota"


class OpenAiHttp(Provider):
    """Any server that speaks this interface, a hosted one or one's own."""

    def __init__(self) -> None:
        self._network = Network()

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        ask = _TASKS[question.task]
        reason = self.unavailable(question.release)
        if reason is not None:
            raise Faulty(reason)
        exchange = Exchange(self._network, question.model, question.deadline_s, cancelled)
        response = _sent(ask, question, exchange)
        body = bytes(response.content)
        answered = parsed(body, question.model)
        answer = Answer(
            body=body,
            format=_FORMATS[question.task],
            usage=_usage(answered),
            request_id=text(response.headers.get("x-request-id")),
            model=text(at(answered, "model")),
        )
        if not _HAS_CONTENT[question.task](answered):
            raise Vacuous.with_answer(f"{question.model} answered well, without any content", answer)
        return answer

    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        key_env = release.get("key_env")
        if not release.get("base_url"):
            return f"{release['model']} has no address; set base_url in its release"
        if key_env and not os.environ.get(key_env):
            return f"the key of {release['model']} is not there; set it in the environment as {key_env}"
        return None

    def tokens_at_most(self, question: Question) -> float:
        release = question.release
        if question.task is AskTask.SPEECH:
            spoken = question.media_s * float(release.get("tokens_a_second", TOKENS_A_SECOND))
            return spoken + len(question.prompt.encode()) + TOKENS_A_MESSAGE + question.most_tokens
        if question.task is AskTask.VECTORS:
            return float(len(question.content("texts")) + TOKENS_A_MESSAGE)
        # A token is a byte at the least, in every vocabulary there is.
        schema = json.dumps(question.parameters.get("schema") or {})
        said = len(question.prompt.encode()) + len(schema) + 3 * TOKENS_A_MESSAGE
        if question.task is AskTask.WRITING:
            said += len(question.content("material"))
        else:
            said += int(release.get("tokens_a_picture", TOKENS_A_PICTURE))
        return float(said + question.most_tokens)

    def close(self) -> None:
        self._network.close()


def _sent(ask: Callable[[OpenAI, Question, Mapping[str, Any]], Any], question: Question, exchange: Exchange) -> Any:
    """The response of one request, its body read. Raises a CallFailure."""
    import httpx2
    import openai

    key_env = question.release.get("key_env")
    key = os.environ.get(key_env, "") if key_env else ""
    headers: dict[str, Any] = {"Idempotency-Key": question.idempotency_key}
    if not key:
        headers["Authorization"] = openai.omit
    try:
        with httpx2.Client(transport=exchange) as http:
            client = openai.OpenAI(
                api_key=key or "none",
                base_url=str(question.release["base_url"]),
                max_retries=0,  # one layer tries again, and it is not this one
                timeout=question.deadline_s,
                http_client=http,
            )
            # The SDK takes these from the environment; what is sent hangs on question and release alone.
            client.organization = client.project = None
            common = {
                "model": question.model,
                "extra_headers": headers,
                "extra_body": question.options,
            }
            return ask(client, question, common).http_response
    except openai.APIStatusError as error:
        raise _failure(error, question, key) from error
    except openai.APIConnectionError as error:
        raise Failed(f"the connection to {question.model} broke: {error}") from error
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Faulty(f"{question.model} cannot be asked: {error}", cure="mend base_url in its release") from error


def _speech(client: OpenAI, question: Question, common: Mapping[str, Any]) -> Any:
    path = question.file("audio")
    told: dict[str, Any] = {}
    if question.language:
        told["language"] = question.language.partition("-")[0]  # the interface takes ISO 639-1
    if question.prompt:
        told["prompt"] = question.prompt
    return client.audio.transcriptions.with_raw_response.create(
        file=(f"audio{path.suffix or '.flac'}", question.content("audio")),  # servers tell the format by the name
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        **told,
        **common,
    )


def _chat(client: OpenAI, question: Question, common: Mapping[str, Any]) -> Any:
    schema = question.parameters.get("schema")
    messages: list[dict[str, Any]] = []
    if question.task is AskTask.WRITING:
        if question.prompt:
            messages.append({"role": "system", "content": question.prompt})
        messages.append({"role": "user", "content": question.written("material")})
    else:
        if not question.prompt:
            raise Faulty("a question about a picture came without its prompt", cure=ASKERS_FAULT)
        picture = question.file("picture")
        kind = "jpeg" if picture.suffix in (".jpg", ".jpeg") else picture.suffix.lstrip(".")
        data = base64.b64encode(question.content("picture")).decode("ascii")
        content = [
            {"type": "text", "text": question.prompt},
            {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}},
        ]
        messages.append({"role": "user", "content": content})
    told: dict[str, Any] = {}
    if schema:
        named = {"name": question.task.value, "schema": schema, "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": named}
    if question.most_tokens:
        told[str(question.release.get("limit_parameter", "max_completion_tokens"))] = question.most_tokens
    return client.chat.completions.with_raw_response.create(messages=cast(Any, messages), **told, **common)


def _vectors(client: OpenAI, question: Question, common: Mapping[str, Any]) -> Any:
    told: dict[str, Any] = {}
    if question.release.get("dimensions"):
        told["dimensions"] = int(question.release["dimensions"])
    return client.embeddings.with_raw_response.create(input=question.texts(), encoding_format="float", **told, **common)


def _usage(answered: Mapping[str, Any]) -> Usage:
    """What is said to be charged: tokens under either of the interface's names, or seconds of sound."""
    told = at(answered, "usage")
    tokens_in, tokens_out = (
        next((found for name in names if (found := count(at(told, name))) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    seconds = amount(at(told, "seconds"))
    return Usage(tokens_in, tokens_out, amount(at(answered, "duration")) if seconds is None else seconds)


def _chat_says_something(answered: Mapping[str, Any]) -> bool:
    message = at(answered, "choices", 0, "message")
    said = (at(message, "content"), at(message, "refusal"))  # a refusal is an answer: whoever asked has to read it
    return any(isinstance(each, str) and each.strip() for each in said)


def _speech_says_something(answered: Mapping[str, Any]) -> bool:
    said = at(answered, "text")
    return isinstance(said, str) and bool(said.strip())


_TASKS: Mapping[AskTask, Callable[[OpenAI, Question, Mapping[str, Any]], Any]] = {
    AskTask.SPEECH: _speech,
    AskTask.READING: _chat,
    AskTask.WRITING: _chat,
    AskTask.VECTORS: _vectors,
    AskTask.LABELS: _chat,
}
_FORMATS: Mapping[AskTask, str] = {
    AskTask.SPEECH: "openai.verbose_json.v1",
    AskTask.READING: "openai.vision.v1",
    AskTask.WRITING: "openai.chat_json.v1",
    AskTask.VECTORS: "openai.embeddings.v1",
    AskTask.LABELS: "openai.vision_labels.v1",
}
_HAS_CONTENT: Mapping[AskTask, Callable[[Mapping[str, Any]], bool]] = {
    AskTask.SPEECH: _speech_says_something,
    AskTask.READING: _chat_says_something,
    AskTask.WRITING: _chat_says_something,
    AskTask.VECTORS: lambda answered: bool(at(answered, "data", 0, "embedding")),
    AskTask.LABELS: _chat_says_something,
}


def _failure(error: Any, question: Question, key: str) -> CallFailure:
    """What a status that is not 200 means. `error` is an openai.APIStatusError."""
    status, who, release = error.status_code, question.model, question.release
    hint_s = retry_after_s(error.response.headers)
    code = at(error.body, "code") or at(error.body, "error", "code")
    told = _message(error, key)
    if status == 429 and code == QUOTA_SPENT:
        return Faulty(f"the account behind {who} has nothing left to spend", cure="add credit, or raise its budget")
    if status in (429, OVERLOADED) or (status == 503 and hint_s is not None):
        return Refused(f"{who} refused the call ({status}): {told}", retry_after_s=hint_s)
    if status >= 500 or status in (408, 409, 425):
        return Failed(f"{who} failed ({status}): {told}", retry_after_s=hint_s)
    if status == 401:
        where = release.get("key_env")
        cure = f"set a valid key as {where}" if where else "name the variable of its key as key_env in its release"
        return Faulty(f"{who} does not accept the key", cure=cure)
    if status == 403:
        return Faulty(f"the key of {who} may not use it: {told}", cure="give its account access to the model")
    if status == 404:
        return Faulty(f"there is no model {who} at {release['base_url']}", cure="mend model or base_url in its release")
    if status < 400:
        return Faulty(f"{release['base_url']} sends calls elsewhere ({status})", cure="set base_url to where they end")
    return Faulty(f"{who} does not take the request ({status}): {told}", cure="see that its release names its options")


def _message(error: Any, key: str) -> str:
    """What they say of it, in a line, without the key, which some servers repeat."""
    told = at(error.body, "message") or at(error.body, "error", "message") or error.body
    said = " ".join(str(told).split())[:300] if told else "no reason given"
    return said.replace(key, "(the key)") if key else said
