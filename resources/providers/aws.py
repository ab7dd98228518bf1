"""Models of AWS: Transcribe for speech, Textract for reading, Bedrock for writing and vectors, Rekognition for labels.

Belongs here: which calls a question takes, and the bytes that are its answer. Does not belong here: one call
(aws_calls) or reading what was answered (processing/words/answers).

Of a release it reads "model" (of Bedrock its id; of the others a name for people), "region", "bucket" (of Transcribe:
sound goes in and the answer comes out there, below `sourcebound/`), "language_codes" (of Transcribe: BCP 47 to its
codes, `{"en": "en-US"}`; a language that is not named is identified), "dimensions" (of vectors), "options" (of
writing: further fields of `inferenceConfig`), "base_url" (an address in place of the region's own). Credentials are
found by the SDK.

Where an answer takes several calls its body is one JSON object around theirs, each byte for byte as it came.

Interfaces: API references of Amazon Transcribe, Textract, Bedrock Runtime (Converse, InvokeModel), Rekognition.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from resources.providers.aws_calls import KEY_CURE, AwsClients, code_of
from resources.providers.bodies import at, count, parsed, text
from resources.providers.exchange import Exchange, Network
from resources.providers.port import Answer, CallFailure, Failed, Faulty, Provider, Question, Refused, Usage, Vacuous

log = logging.getLogger(__name__)

SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.2, 5.0  # between two looks at a job
CLEAN_S = 5.0  # for taking away what a job leaves
PREFIX = "sourcebound/"
TOOL = "answer"
TOKENS_A_TOOL = 600  # of instructions around it and the messages; the most a model's documentation states is 530
TOKENS_A_TEXT = 8  # where it begins and ends
LOOKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # at one picture
    "labels": ("detect_labels", {}),
    "moderation": ("detect_moderation_labels", {}),
    "faces": ("detect_faces", {"Attributes": ["DEFAULT"]}),
}
INPUT_FAULT = ("format", "media", "sample rate", "duration", "channel")  # words of a FailureReason that is ours


class Aws(Provider):
    """One account's models, in the regions that releases name."""

    def __init__(self) -> None:
        self._network = Network()
        self._clients = AwsClients()

    def answer(self, question: Question, cancelled: threading.Event) -> Answer:
        reason = self.unavailable(question.release)
        if reason is not None:
            raise Faulty(reason)
        exchange = Exchange(self._network, question.model, question.deadline_s, cancelled)
        answers = {
            AskTask.SPEECH: self._speech,
            AskTask.READING: self._read,
            AskTask.WRITING: self._write,
            AskTask.VECTORS: self._vectors,
            AskTask.LABELS: self._labels,
        }
        with self._clients.over(exchange):
            return answers[question.task](question, exchange)

    def unavailable(self, release: Mapping[str, Any]) -> str | None:
        if not release.get("region"):
            return f"{release['model']} has no region; set region in its release"
        if not self._clients.has_credentials:
            return f"there are no credentials for {release['model']}; {KEY_CURE}"
        return None

    def tokens_at_most(self, question: Question) -> float:
        if question.task is AskTask.WRITING:
            said = len(question.prompt.encode()) + len(json.dumps(question.parameters.get("schema") or {}))
            return float(said + len(question.content("material")) + question.most_tokens + TOKENS_A_TOOL)
        if question.task is AskTask.VECTORS:
            return float(sum(len(each.encode()) + TOKENS_A_TEXT for each in question.texts()))
        return 0.0

    def requests_of(self, question: Question) -> int:
        """Rekognition is asked for labels, moderation and faces, Titan for each text; of a job its start is limited."""
        if question.task is AskTask.LABELS:
            return len(LOOKS)
        return len(question.texts()) if question.task is AskTask.VECTORS else 1

    def close(self) -> None:
        self._clients.forget()
        self._network.close()

    def _call(self, question: Question, service: str, name: str, **told: Any) -> tuple[dict[str, Any], bytes]:
        return self._clients.call(service, question.release, name, **told)

    def _read(self, question: Question, exchange: Exchange) -> Answer:
        answered, body = self._call(
            question, "textract", "detect_document_text", Document={"Bytes": question.content("picture")}
        )
        if not answered.get("Blocks"):  # a page without any text is a block of its own
            raise Vacuous(f"{question.model} answered well, without any block")
        return _answer(answered, body, "aws.textract.v1", model=answered.get("DetectDocumentTextModelVersion"))

    def _labels(self, question: Question, exchange: Exchange) -> Answer:
        image = {"Bytes": question.content("picture")}
        found: dict[str, tuple[dict[str, Any], bytes]] = {}
        for name, (call, told) in LOOKS.items():
            found[name] = self._call(question, "rekognition", call, Image=image, **told)
        labels = found["labels"][0]
        if "Labels" not in labels:
            raise Vacuous(f"{question.model} answered well, without labels")
        body = b"{" + b",".join(b'"%s":%s' % (name.encode(), raw) for name, (_, raw) in found.items()) + b"}"
        return _answer(labels, body, "aws.rekognition.v1", model=labels.get("LabelModelVersion"))

    def _write(self, question: Question, exchange: Exchange) -> Answer:
        told: dict[str, Any] = {}
        if question.prompt:
            told["system"] = [{"text": question.prompt}]
        if question.parameters.get("schema"):
            tool = {"name": TOOL, "inputSchema": {"json": dict(question.parameters["schema"])}}
            told["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": TOOL}}}
        inference = question.options
        if question.most_tokens:
            inference["maxTokens"] = question.most_tokens
        material = question.written("material")
        answered, body = self._call(
            question,
            "bedrock-runtime",
            "converse",
            modelId=question.model,
            messages=[{"role": "user", "content": [{"text": material}]}],
            inferenceConfig=inference,
            **told,
        )
        usage = Usage(count(at(answered, "usage", "inputTokens")), count(at(answered, "usage", "outputTokens")))
        answer = _answer(answered, body, "bedrock.converse.v1", usage=usage, model=question.model)
        content = at(answered, "output", "message", "content") or []
        if not any(at(part, "toolUse", "input") or str(at(part, "text") or "").strip() for part in content):
            raise Vacuous.with_answer(f"{question.model} answered well, without any content", answer)
        return answer

    def _vectors(self, question: Question, exchange: Exchange) -> Answer:
        """A vector a call: this model takes one text at a time."""
        bodies, tokens = [], 0
        answered: dict[str, Any] = {}
        for each in question.texts():
            asked: dict[str, Any] = {"inputText": each, "normalize": True}
            if question.release.get("dimensions"):
                asked["dimensions"] = int(question.release["dimensions"])
            answered, body = self._call(
                question, "bedrock-runtime", "invoke_model", modelId=question.model, body=json.dumps(asked),
                contentType="application/json", accept="application/json",
            )  # fmt: skip
            told = parsed(body, question.model)
            tokens += count(at(told, "inputTextTokenCount")) or 0
            if not at(told, "embedding"):
                raise Vacuous(f"{question.model} answered well, without a vector", usage=Usage(tokens, 0))
            bodies.append(body)
        whole = b'{"vectors":[' + b",".join(bodies) + b"]}"
        return _answer(answered, whole, "bedrock.titan_embedding.v1", usage=Usage(tokens, 0), model=question.model)

    def _speech(self, question: Question, exchange: Exchange) -> Answer:
        """A job: sound goes into the bucket, its answer comes out of it, and both are taken away.

        The job's name hangs on what is asked. One that a call did not see the end of is left: whoever asks the same
        again finds it, and pays nothing for it a second time.
        """
        bucket = question.release.get("bucket")
        if not bucket:
            raise Faulty(f"{question.model} has no bucket", cure="set bucket in its release")
        job = _Job.of(question, str(bucket))
        self._call(question, "s3", "put_object", Bucket=bucket, Key=job.sound_key, Body=question.content("audio"))
        try:
            self._call(question, "transcribe", "start_transcription_job", **job.started(question))
        except CallFailure as failure:
            if code_of(failure) != "ConflictException":  # otherwise an earlier call began it
                if isinstance(failure, Refused | Faulty):  # after anything else it may have been begun
                    self._clean(question, job, began=False)
                raise
        told = self._end_of(question, job, exchange)
        try:
            if told.get("TranscriptionJobStatus") != "COMPLETED":
                raise _job_failure(question, str(told.get("FailureReason") or "no reason given"))
            answered, _ = self._call(question, "s3", "get_object", Bucket=bucket, Key=job.answer_key)
            body = bytes(answered["Body"].read())
            transcripts = at(parsed(body, question.model), "results", "transcripts") or []
            usage = Usage(seconds=question.media_s)
            answer = _answer(answered, body, "aws.transcribe.v1", usage=usage, model=question.model)
            if not any(str(at(each, "transcript") or "").strip() for each in transcripts):
                raise Vacuous.with_answer(f"{question.model} answered well, without any word", answer)
            return answer
        finally:
            self._clean(question, job)

    def _end_of(self, question: Question, job: _Job, exchange: Exchange) -> Mapping[str, Any]:
        """What a job says of itself when it is over. Raises Failed at the deadline, and Cancelled."""
        pause_s = SHORTEST_LOOK_S
        while True:
            answered, _ = self._call(question, "transcribe", "get_transcription_job", TranscriptionJobName=job.name)
            told: Mapping[str, Any] = answered["TranscriptionJob"]
            if told.get("TranscriptionJobStatus") in ("COMPLETED", "FAILED"):
                return told
            exchange.cancelled.wait(min(pause_s, max(exchange.left_s, 0.0)))  # the next look ends what is over
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    def _clean(self, question: Question, job: _Job, *, began: bool = True) -> None:
        """Take away what a job left, in a time of its own. What cannot be taken away is logged."""
        left: list[tuple[str, str, dict[str, Any]]] = [
            ("s3", "delete_object", {"Bucket": job.bucket, "Key": job.sound_key})
        ]
        if began:
            left.append(("s3", "delete_object", {"Bucket": job.bucket, "Key": job.answer_key}))
            left.append(("transcribe", "delete_transcription_job", {"TranscriptionJobName": job.name}))
        own_time = Exchange(self._network, question.model, CLEAN_S, threading.Event())
        with self._clients.over(own_time):
            for service, name, told in left:
                try:
                    self._call(question, service, name, **told)
                except CallFailure as failure:
                    log.info("%s of %s: %s", name, job.name, failure.sentence)


class _Job:
    """The names of a transcription's parts."""

    def __init__(self, name: str, bucket: str, sound: Path) -> None:
        self.name = name
        self.bucket = bucket
        self.format = sound.suffix.lstrip(".") or "flac"
        self.sound_key = f"{PREFIX}{name}/audio.{self.format}"
        self.answer_key = f"{PREFIX}{name}/answer.json"

    @classmethod
    def of(cls, question: Question, bucket: str) -> _Job:
        digest = hashlib.sha256(question.idempotency_key.encode()).hexdigest()
        return cls(f"sourcebound-{digest[:40]}", bucket, question.file("audio"))

    def started(self, question: Question) -> dict[str, Any]:
        """What the job's start is told."""
        code = (question.release.get("language_codes") or {}).get(question.language)
        return {
            "TranscriptionJobName": self.name,
            "Media": {"MediaFileUri": f"s3://{self.bucket}/{self.sound_key}"},
            "MediaFormat": self.format,
            "OutputBucketName": self.bucket,
            "OutputKey": self.answer_key,
            **({"LanguageCode": code} if code else {"IdentifyLanguage": True}),
        }


def _job_failure(question: Question, reason: str) -> CallFailure:
    if any(word in reason.lower() for word in INPUT_FAULT):
        return Faulty(f"{question.model} cannot use the sound: {reason}", cure="see that its release fits the sound")
    return Failed(f"{question.model} failed: {reason}")


def _answer(
    answered: Mapping[str, Any], body: bytes, format_: str, *, usage: Usage | None = None, model: Any = ""
) -> Answer:
    request_id = text(at(answered, "ResponseMetadata", "RequestId"))
    return Answer(body=body, format=format_, usage=usage or Usage(), request_id=request_id, model=text(model))
