"""Models of AWS: jobs that are cleaned up and found again, what is sent, what the codes of errors mean.

Transcription runs against moto's server as well, a stranger's reading of the same interface, for its jobs and its
bucket. Moto has no answers of models: there an outside hand puts the transcript where the job was told to.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from processing.asking import AskTask
from resources.providers.aws import PREFIX, Aws
from resources.providers.aws_calls import NO_KEY, NOT_ALLOWED, THEIRS, THROTTLED
from resources.providers.port import Answer, CallFailure, Cancelled, Failed, Faulty, Question, Refused, Vacuous
from tests.provider_benches import (
    KEY,
    SCHEMA,
    AwsLabels,
    AwsReading,
    AwsSpeech,
    AwsVectors,
    AwsWriting,
    payload,
)
from tests.provider_server import ProviderServer, provider_server

BUCKET = "a-bucket"


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as started:
        yield started


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def listed(server: ProviderServer) -> str:
    """What lies in the bucket."""
    with urllib.request.urlopen(f"{server.address}/{BUCKET}", timeout=10) as response:
        return str(response.read().decode())


def operations(server: ProviderServer) -> dict[str, int]:
    return dict(server.seen()["by_operation"])


@pytest.mark.parametrize("kind", [AwsLabels, AwsVectors, AwsWriting, AwsReading])
def test_every_request_of_an_answer_is_counted_beforehand(
    tmp_path: Path, server: ProviderServer, kind: type[AwsLabels | AwsVectors | AwsWriting | AwsReading]
) -> None:
    bench = kind(tmp_path, server)
    bench.ask()
    assert sum(operations(server).values()) == bench.provider.requests_of(bench.question())


def test_a_job_leaves_nothing_behind(tmp_path: Path, server: ProviderServer) -> None:
    bench = AwsSpeech(tmp_path, server)
    answer = bench.ask()
    assert json.loads(answer.body)["results"]["items"]
    assert answer.usage.seconds == 2
    assert PREFIX not in listed(server)
    assert bench.ask().body  # the name of the job is free again


@pytest.mark.parametrize(
    ("behaviour", "failure"), [("schema", Faulty), ("empty", Vacuous), ("429", Refused), ("404", Faulty)]
)
def test_a_job_that_brought_nothing_leaves_nothing_either(
    tmp_path: Path, server: ProviderServer, behaviour: str, failure: type[CallFailure]
) -> None:
    bench = AwsSpeech(tmp_path, server)
    bench.behave(behaviour)
    with pytest.raises(failure):
        bench.ask()
    assert PREFIX not in listed(server)


def test_a_job_that_was_begun_is_not_paid_twice(tmp_path: Path, server: ProviderServer) -> None:
    """Whoever was killed while a job ran asks the same again; the job's name hangs on what is asked."""
    bench = AwsSpeech(tmp_path, server)
    bench.behave("half")  # the job begins, its start is never confirmed
    with pytest.raises(Failed):
        bench.ask()
    assert "audio.flac" in listed(server)  # the job may still want to read it
    bench.behave("")
    assert json.loads(bench.ask().body)["status"] == "COMPLETED"
    assert PREFIX not in listed(server)


def test_a_job_ends_at_the_deadline_and_when_it_is_cancelled(tmp_path: Path, server: ProviderServer) -> None:
    bench = AwsSpeech(tmp_path, server)
    server.control(job_looks=1000)
    began = time.monotonic()
    with pytest.raises(Failed, match="within"):
        bench.ask(deadline_s=1.0)
    assert time.monotonic() - began < 2
    cancelled = threading.Event()
    threading.Timer(1.6, cancelled.set).start()  # in a pause that lasts until 3 s
    began = time.monotonic()
    with pytest.raises(Cancelled):
        bench.ask(cancelled=cancelled, idempotency_key="another")
    assert time.monotonic() - began < 2.6


def test_the_language_of_a_job_is_the_services_own_code_or_its_guess(tmp_path: Path, server: ProviderServer) -> None:
    bench = AwsSpeech(tmp_path, server)
    bench.ask()
    asked = server.seen()["last"]["asked"]
    assert asked["LanguageCode"] == "en-US"
    assert asked["MediaFormat"] == "flac"
    bench.ask(parameters={"language": "fi"})
    asked = server.seen()["last"]["asked"]
    assert asked["IdentifyLanguage"] is True
    assert "LanguageCode" not in asked


def test_a_step_of_writing_has_to_use_its_tool(tmp_path: Path, server: ProviderServer) -> None:
    answer = AwsWriting(tmp_path, server).ask()
    asked = server.seen()["last"]["asked"]
    tool = asked["toolConfig"]["tools"][0]["toolSpec"]
    assert tool["inputSchema"]["json"] == SCHEMA
    assert asked["toolConfig"]["toolChoice"] == {"tool": {"name": tool["name"]}}
    assert asked["inferenceConfig"] == {"maxTokens": 200}
    assert asked["system"] == [{"text": "Say what matters."}]
    content = json.loads(answer.body)["output"]["message"]["content"]
    assert set(content[0]["toolUse"]["input"]) == {"title", "points"}


def test_vectors_are_asked_for_one_by_one_and_kept_in_order(tmp_path: Path, server: ProviderServer) -> None:
    bench = AwsVectors(tmp_path, server)
    answer = bench.ask()
    assert operations(server) == {"invoke": 3}
    vectors = [each["embedding"] for each in json.loads(answer.body)["vectors"]]
    assert [len(vector) for vector in vectors] == [256] * 3
    texts = tmp_path / "one" / "texts.json"
    texts.parent.mkdir()
    texts.write_text('["a mill"]', encoding="utf-8")
    alone = bench.ask(payload={"texts.json": texts})
    assert json.loads(alone.body)["vectors"][0]["embedding"] == vectors[1]


def test_a_picture_goes_along_whole(tmp_path: Path, server: ProviderServer) -> None:
    bench = AwsReading(tmp_path, server)
    bench.ask()
    sent = server.seen()["last"]["asked"]["Document"]["Bytes"]
    assert base64.b64decode(sent) == bench.question().payload["picture.png"].read_bytes()


def test_labels_are_three_answers_in_one(tmp_path: Path, server: ProviderServer) -> None:
    answer = AwsLabels(tmp_path, server).ask()
    assert set(json.loads(answer.body)) == {"labels", "moderation", "faces"}
    assert sorted(operations(server).values()) == [1, 1, 1]


def test_what_is_missing_is_said_before_anything_is_asked(
    tmp_path: Path, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = AwsSpeech(tmp_path, server)
    release = dict(bench.question().release)
    assert "region" in (bench.provider.unavailable({**release, "region": ""}) or "")
    with pytest.raises(Faulty, match="has no bucket"):
        bench.ask(release={**release, "bucket": ""})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    sentence = Aws().unavailable(release)
    assert sentence is not None
    assert "AWS_PROFILE" in sentence
    assert bench.asked() == 0


CODES = {
    **dict.fromkeys(THROTTLED, Refused),
    **dict.fromkeys(THEIRS, Failed),
    **dict.fromkeys(NO_KEY | NOT_ALLOWED, Faulty),
    "ResourceNotFoundException": Faulty,
    "ValidationException": Faulty,
    "InvalidImageFormatException": Faulty,
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_means_what_its_service_says(tmp_path: Path, server: ProviderServer, code: str) -> None:
    bench = AwsReading(tmp_path, server)
    server.control(aws_code=code, behaviour="400")
    with pytest.raises(CallFailure) as caught:
        bench.ask()
    assert type(caught.value) is CODES[code]
    if code in NO_KEY:
        assert "AWS_PROFILE" in caught.value.sentence
    if code in NOT_ALLOWED:
        assert "permission" in caught.value.sentence
    assert KEY not in caught.value.sentence
    assert bench.asked() == 1


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def test_a_job_runs_against_a_strangers_reading_of_the_interface(tmp_path: Path, moto: str) -> None:
    told = {"endpoint_url": moto, "region_name": "us-east-1"}
    bucket = boto3.client("s3", **told)
    bucket.create_bucket(Bucket=BUCKET)
    transcript = json.dumps({"results": {"transcripts": [{"transcript": "a river"}], "items": []}}).encode()
    files = payload(tmp_path)
    sounds: list[bytes] = []

    def hand() -> None:
        until = time.monotonic() + 15
        while not sounds and time.monotonic() < until:
            for each in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", []):
                sounds.append(bucket.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read())
                key = each["Key"].rpartition("/")[0] + "/answer.json"
                bucket.put_object(Bucket=BUCKET, Key=key, Body=transcript)
            time.sleep(0.02)

    helper = threading.Thread(target=hand)
    helper.start()
    provider = Aws()
    question = Question(
        task=AskTask.SPEECH,
        release={"id": "t", "model": "transcribe", "region": "us-east-1", "bucket": BUCKET, "base_url": moto},
        parameters={},
        payload=files,
        idempotency_key="a key",
        deadline_s=20.0,
        media_s=2.0,
    )
    answer: Answer = provider.answer(question, threading.Event())
    helper.join()
    assert answer.body == transcript
    assert sounds == [files["audio.flac"].read_bytes()]
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)
    assert boto3.client("transcribe", **told).list_transcription_jobs()["TranscriptionJobSummaries"] == []
    with pytest.raises(Faulty, match="NoSuchBucket"):
        provider.answer(replace(question, release={**question.release, "bucket": "no-such-bucket"}), threading.Event())
    provider.close()
