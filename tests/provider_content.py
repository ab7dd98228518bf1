"""What the provider of tests answers: bodies for each operation, well made or spoilt as ordered.

Belongs here: reading a call, drawing its output, the bodies. Does not belong here: HTTP and limits (provider_server).

Texts are drawn by the seed from a small lexicon, objects from the schema that a call came with, words lie evenly over
the sound that was sent (the length is read from its FLAC header). A test that needs certain words says so
(`contents`, `transcripts`).
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTENT_BEHAVIOURS = ("empty", "truncated", "wrong_language", "schema", "refusal", "boilerplate")
LEXICON: list[str] = re.findall(
    r"\w+",
    "the river runs past an old mill where people meet in the morning and speak about weather work and music before "
    "they walk home along the bridge with bread fruit and letters from friends",
)
FOREIGN: list[str] = re.findall(
    r"\w+",
    "joki virtaa vanhan myllyn ohi missä ihmiset tapaavat aamulla ja puhuvat säästä työstä sekä musiikista",
)
REFUSAL = "I'm sorry, but I can't help with that."
BOILERPLATE = "Thanks for watching! Please like and subscribe."
TOKENS_OUT = 256  # of a call that states no limit
PICTURE_TOKENS = 1000
PROMPT_FIELDS = ("messages", "system", "response_format", "toolConfig", "input", "inputText")
SOUND_TOKENS = 10  # a second
WORDS_A_SECOND = 2.5


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a provider reads it. `asked` is its JSON (or its form), `media` a file that came with it."""

    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    asked: dict[str, Any] = field(default_factory=dict)
    media: bytes = b""

    @property
    def is_aws(self) -> bool:
        return not self.path.startswith("/v1/")

    @property
    def counts(self) -> bool:
        return self.operation not in ("s3", "Transcribe.GetTranscriptionJob", "Transcribe.DeleteTranscriptionJob")

    @property
    def model(self) -> str:
        return str(self.asked.get("model") or (self.path.split("/")[2] if self.path.startswith("/model/") else ""))

    @property
    def credential(self) -> str:
        told = self.headers.get("authorization", "")
        found = re.search(r"Credential=([^/]+)/", told)
        return found[1] if found else told.removeprefix("Bearer ")

    @property
    def key(self) -> str:
        """What makes a call the same as another."""
        return self.headers.get("idempotency-key") or hashlib.sha256(self.body).hexdigest()

    @property
    def seconds(self) -> float:
        return flac_seconds(self.media)

    @property
    def tokens_in(self) -> int:
        if self.operation == "transcriptions":
            return math.ceil(self.seconds * SOUND_TOKENS)
        said = json.dumps([self.asked[name] for name in PROMPT_FIELDS if name in self.asked], ensure_ascii=False)
        said, pictures = re.subn(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*", "", said)
        return math.ceil(len(said.encode()) / 4) + pictures * PICTURE_TOKENS

    def draw(self, chance: random.Random) -> int:
        """How many tokens the answer has, at most as many as the call allows."""
        if self.operation == "transcriptions":
            return math.ceil(self.seconds * WORDS_A_SECOND * 1.4)
        if self.operation in ("chat", "converse"):
            told = self.asked.get("inferenceConfig", {}).get("maxTokens")
            most = self.asked.get("max_completion_tokens") or self.asked.get("max_tokens") or told or TOKENS_OUT
            return 1 + int((int(most) - 1) * chance.betavariate(2, 5))
        return 0


def read_call(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
    """The call a request is."""
    target = headers.get("x-amz-target", "")
    if target:
        service, _, name = target.rpartition(".")
        operation = f"{service.rpartition('.')[2].removesuffix('Service')}.{name}"
        return Call(operation, method, path, headers, body, json.loads(body))
    for ending, operation in (
        ("/v1/audio/transcriptions", "transcriptions"),
        ("/v1/chat/completions", "chat"),
        ("/v1/embeddings", "embeddings"),
        ("/converse", "converse"),
        ("/invoke", "invoke"),
    ):
        if path.endswith(ending):
            if operation == "transcriptions":
                form, media = read_form(headers.get("content-type", ""), body)
                return Call(operation, method, path, headers, body, form, media)
            return Call(operation, method, path, headers, body, json.loads(body))
    return Call("unknown" if path.startswith("/v1/") else "s3", method, path, headers, body)


def read_form(kind: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The fields and the file of a multipart form."""
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    fields_: dict[str, Any] = {}
    media = b""
    for part in body.split(boundary)[1:-1]:
        head, _, value = part[2:-2].partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if b"filename=" in head:
            media = value
        elif name:
            fields_[name[1].decode()] = value.decode()
    return fields_, media


def flac_seconds(media: bytes) -> float:
    """The length of FLAC sound by its STREAMINFO (RFC 9639, section 8.2); a second where it is none."""
    if media[:4] != b"fLaC" or len(media) < 26:
        return 1.0
    packed = int.from_bytes(media[18:26], "big")
    rate_hz, samples = packed >> 44, packed & ((1 << 36) - 1)
    return samples / rate_hz if rate_hz and samples else 1.0


def openai_error(call: Call, status: int, why: str) -> tuple[int, bytes, dict[str, str]]:
    """An error as OpenAI writes it."""
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 402: "insufficient_quota"}
    body = {"error": {"message": why, "type": "error", "param": None, "code": code.get(status)}}
    return (429 if status == 402 else status), json.dumps(body).encode(), {}


def aws_error(call: Call, status: int, why: str, code: str = "") -> tuple[int, bytes, dict[str, str]]:
    """An error as AWS writes it: its code counts, in the body or a header, and most have status 400."""
    code = code or {
        401: "UnrecognizedClientException",
        403: "AccessDeniedException",
        404: "ResourceNotFoundException",
        429: "ThrottlingException",
        500: "InternalServerError",
        503: "ServiceUnavailableException",
    }.get(status, "ValidationException")
    is_rest = call.path.startswith("/model/")
    if not is_rest and status < 500:
        status = 400
    return status, json.dumps({"__type": code, "message": why}).encode(), {"x-amzn-ErrorType": code}


class Content:
    """Answers, and what AWS keeps meanwhile: objects and jobs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}

    def answer(self, call: Call, behaviour: str, settings: Any, tokens_out: int) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        chance = random.Random(f"{settings.seed}:{call.key}:content")
        headers = {"x-request-id": f"req-{call.key[:16]}", "x-amzn-RequestId": f"req-{call.key[:16]}"}
        if call.operation == "s3":
            return self._object(call)
        made = _MADE.get(call.operation)
        if made is None:
            status, body, own = (aws_error if call.is_aws else openai_error)(
                call, 400, f"no operation {call.operation}"
            )
            return status, body, {**headers, **own}
        value = made(self, call, behaviour, settings, chance, tokens_out)
        if isinstance(value, tuple):
            return value
        return 200, json.dumps(value, ensure_ascii=False).encode(), headers

    def _object(self, call: Call) -> tuple[int, bytes, dict[str, str]]:
        if call.method == "PUT":
            self.objects[call.path] = call.body
            return 200, b"", {"ETag": f'"{hashlib.md5(call.body).hexdigest()}"'}
        if call.method == "DELETE":
            self.objects.pop(call.path, None)
            return 204, b"", {}
        if call.path not in self.objects and call.path.count("/") == 1:
            keys = "".join(f"<Contents><Key>{path}</Key></Contents>" for path in self.objects)
            return 200, f"<ListBucketResult>{keys}</ListBucketResult>".encode(), {"Content-Type": "application/xml"}
        if call.path not in self.objects:
            error = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
            return 404, error, {"Content-Type": "application/xml"}
        return 200, self.objects[call.path], {"Content-Type": "binary/octet-stream"}


def _sentence(chance: random.Random, words: int, lexicon: list[str] = LEXICON) -> list[str]:
    return [chance.choice(lexicon) for _ in range(words)]


def spoken(media: bytes, behaviour: str, settings: Any, chance: random.Random) -> dict[str, Any]:
    """Words with times, as a recogniser heard them."""
    known = settings.transcripts.get(hashlib.sha256(media).hexdigest())
    seconds = flac_seconds(media)
    if known is not None and behaviour not in CONTENT_BEHAVIOURS:
        return {"duration": seconds, "language": "english", **known}
    texts = _sentence(
        chance, max(1, int(seconds * WORDS_A_SECOND)), FOREIGN if behaviour == "wrong_language" else LEXICON
    )
    if behaviour in ("refusal", "boilerplate"):
        texts = (REFUSAL if behaviour == "refusal" else BOILERPLATE).split()
    if behaviour == "empty":
        texts = []
    step_s = seconds / max(1, len(texts))
    words = [
        {"word": word, "start": round(at * step_s, 3), "end": round((at + 0.8) * step_s, 3)}
        for at, word in enumerate(texts)
    ]
    if behaviour == "truncated":
        words = words[: max(1, len(words) // 3)]
    if behaviour == "schema":
        words = [{**word, "start": word["end"], "end": word["start"]} for word in words]
    language = "finnish" if behaviour == "wrong_language" else "english"
    return {"duration": seconds, "language": language, "text": " ".join(each["word"] for each in words), "words": words}


def _transcriptions(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    heard = spoken(call.media, behaviour, settings, chance)
    words = heard["words"]
    segment = {
        "id": 0,
        "seek": 0,
        "start": words[0]["start"] if words else 0.0,
        "end": words[-1]["end"] if words else 0.0,
        "text": heard["text"],
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.01,
    }
    usage = {"type": "tokens", "input_tokens": call.tokens_in, "output_tokens": tokens_out}
    return {"task": "transcribe", **heard, "segments": [segment] if words else [], "usage": usage}


def _chat(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    told = call.asked.get("response_format", {}).get("json_schema", {})
    said = written(told.get("name", ""), told.get("schema"), behaviour, settings, chance)
    message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": None}
    if behaviour == "refusal":
        message = {"role": "assistant", "content": None, "refusal": REFUSAL}
    return {
        "id": f"chatcmpl-{call.key[:12]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": call.model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "length" if behaviour == "truncated" else "stop"}
        ],
        "usage": {
            "prompt_tokens": call.tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": call.tokens_in + tokens_out,
        },
    }


def written(name: str, schema: Any, behaviour: str, settings: Any, chance: random.Random) -> str:
    """The text of a chat's answer."""
    if behaviour == "empty":
        return ""
    lexicon = {"wrong_language": FOREIGN, "boilerplate": BOILERPLATE.split(), "refusal": REFUSAL.split()}
    value = settings.contents.get(name)
    if value is None or behaviour in lexicon:
        value = instance(schema or {"type": "string"}, chance, lexicon.get(behaviour, LEXICON))
    if behaviour == "schema":
        value = {"unasked": value}
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said[: len(said) // 2] if behaviour == "truncated" else said


def instance(schema: Mapping[str, Any], chance: random.Random, lexicon: list[str] = LEXICON) -> Any:
    """A value that keeps a schema, drawn by chance."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "anyOf" in schema:
        return instance(schema["anyOf"][0], chance, lexicon)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: instance(each, chance, lexicon) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        count = chance.randint(max(1, schema.get("minItems", 1)), max(1, schema.get("maxItems", 3)))
        return [instance(schema.get("items", {}), chance, lexicon) for _ in range(count)]
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 1)
        return chance.randint(math.ceil(low), math.floor(high)) if kind == "integer" else chance.uniform(low, high)
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "null":
        return None
    return " ".join(_sentence(chance, 8, lexicon))[: schema.get("maxLength")]


def _vector(text: str, length: int) -> list[float]:
    """A direction that hangs on the text alone: texts of like spelling lie near each other."""
    bare = f" {text.casefold()} "
    values = [0.0] * length
    for piece in {bare[at : at + 3] for at in range(len(bare) - 2)}:
        chance = random.Random(piece)
        values = [value + chance.gauss(0, 1) for value in values]
    norm = math.sqrt(sum(value * value for value in values))
    return [value / norm for value in values]


def _embeddings(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    asked = call.asked["input"]
    texts = [asked] if isinstance(asked, str) else asked
    length = int(call.asked.get("dimensions", 64)) - (1 if behaviour == "schema" else 0)
    kept = {"empty": 0, "truncated": len(texts) // 2}.get(behaviour, len(texts))
    data = [{"object": "embedding", "index": at, "embedding": _vector(text, length)} for at, text in enumerate(texts)]
    usage = {"prompt_tokens": call.tokens_in, "total_tokens": call.tokens_in}
    return {"object": "list", "data": data[:kept], "model": call.model, "usage": usage}


def _converse(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    tools = call.asked.get("toolConfig", {}).get("tools", [])
    schema = tools[0]["toolSpec"]["inputSchema"]["json"] if tools else None
    said = written("writing", schema, behaviour, settings, chance)
    content: list[dict[str, Any]] = [{"text": REFUSAL if behaviour == "refusal" else said}]
    stop = "max_tokens" if behaviour == "truncated" else "end_turn"
    if tools and behaviour not in ("empty", "refusal", "truncated"):
        tool = {"toolUseId": "tool-1", "name": tools[0]["toolSpec"]["name"], "input": json.loads(said)}
        content, stop = [{"toolUse": tool}], "tool_use"
    return {
        "output": {"message": {"role": "assistant", "content": [] if behaviour == "empty" else content}},
        "stopReason": stop,
        "usage": {
            "inputTokens": call.tokens_in,
            "outputTokens": tokens_out,
            "totalTokens": call.tokens_in + tokens_out,
        },
        "metrics": {"latencyMs": 10},
    }


def _invoke(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    vector = [] if behaviour == "empty" else _vector(call.asked["inputText"], int(call.asked.get("dimensions", 256)))
    return {"embedding": vector, "inputTextTokenCount": call.tokens_in}


def _textract(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    box = {"Left": 0.1, "Top": 0.1, "Width": 0.5, "Height": 0.1}
    corners = [{"X": x, "Y": y} for x, y in ((0.1, 0.1), (0.6, 0.1), (0.6, 0.2), (0.1, 0.2))]
    line = {
        "BlockType": "LINE",
        "Id": "1",
        "Text": " ".join(_sentence(chance, 4)),
        "Confidence": 99.1,
        "Geometry": {"BoundingBox": box, "Polygon": corners},
    }
    return {
        "DocumentMetadata": {"Pages": 1},
        "Blocks": [] if behaviour == "empty" else [line],
        "DetectDocumentTextModelVersion": "1.0",
    }


def _labels(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    found = [{"Name": "River", "Confidence": 91.5, "Instances": [], "Parents": [], "Aliases": [], "Categories": []}]
    return {"LabelModelVersion": "3.0"} if behaviour == "empty" else {"Labels": found, "LabelModelVersion": "3.0"}


def _moderation(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    return {"ModerationLabels": [], "ModerationModelVersion": "7.0"}


def _faces(
    self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int
) -> dict[str, Any]:
    return {"FaceDetails": []}


def _start(self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int) -> Any:
    name = call.asked["TranscriptionJobName"]
    if name in self.jobs:
        error = {"__type": "ConflictException", "message": "the name is taken"}
        return 400, json.dumps(error).encode(), {"x-amzn-ErrorType": "ConflictException"}
    media = "/" + call.asked["Media"]["MediaFileUri"].removeprefix("s3://")
    heard = spoken(self.objects[media], behaviour, settings, chance)
    items = [
        {
            "type": "pronunciation",
            "start_time": str(word["start"]),
            "end_time": str(word["end"]),
            "alternatives": [{"content": word["word"], "confidence": "0.98"}],
        }
        for word in heard["words"]
    ]
    results = {"transcripts": [{"transcript": heard["text"]}], "items": items}
    output = f"/{call.asked['OutputBucketName']}/{call.asked['OutputKey']}"
    self.objects[output] = json.dumps({"jobName": name, "status": "COMPLETED", "results": results}).encode()
    self.jobs[name] = {
        "TranscriptionJobName": name,
        "TranscriptionJobStatus": "FAILED" if behaviour == "schema" else "COMPLETED",
        "FailureReason": "The media format does not match" if behaviour == "schema" else "",
        "LanguageCode": "en-US",
        "looks": settings.job_looks,
    }
    return {"TranscriptionJob": {"TranscriptionJobName": name, "TranscriptionJobStatus": "IN_PROGRESS"}}


def _get(self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int) -> Any:
    job = self.jobs.get(call.asked["TranscriptionJobName"])
    if job is None:
        error = {"__type": "BadRequestException", "message": "there is no such job"}
        return 400, json.dumps(error).encode(), {"x-amzn-ErrorType": "BadRequestException"}
    job["looks"] -= 1
    told = {name: value for name, value in job.items() if name != "looks"}
    return {"TranscriptionJob": told if job["looks"] <= 0 else {**told, "TranscriptionJobStatus": "IN_PROGRESS"}}


def _delete(self: Content, call: Call, behaviour: str, settings: Any, chance: random.Random, tokens_out: int) -> Any:
    self.jobs.pop(call.asked["TranscriptionJobName"], None)
    return {}


_MADE: Mapping[str, Any] = {
    "transcriptions": _transcriptions,
    "chat": _chat,
    "embeddings": _embeddings,
    "converse": _converse,
    "invoke": _invoke,
    "Textract.DetectDocumentText": _textract,
    "Rekognition.DetectLabels": _labels,
    "Rekognition.DetectModerationLabels": _moderation,
    "Rekognition.DetectFaces": _faces,
    "Transcribe.StartTranscriptionJob": _start,
    "Transcribe.GetTranscriptionJob": _get,
    "Transcribe.DeleteTranscriptionJob": _delete,
}
