"""Models on this machine: Whisper in a process of its own (a stand-in takes the place of its package), and workers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import processing
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.providers.embedded import written
from resources.providers.port import CallFailure, Cancelled, Failed, Faulty, Question, Refused
from resources.providers.whisper_local import WhisperLocal
from tests.compute_trial import MISBEHAVING, all_dead, children_of, eventually, identity_of
from tests.provider_benches import EmbeddedBench, WhisperBench
from tests.standins.faster_whisper import MAGIC

ROOT = Path(__file__).parents[1]
STANDINS = ROOT / "tests" / "standins"


@pytest.fixture
def whisper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WhisperBench]:
    monkeypatch.syspath_prepend(STANDINS)
    monkeypatch.setenv("PYTHONPATH", f"{STANDINS}:{ROOT}")
    bench = WhisperBench(tmp_path)
    yield bench
    bench.provider.close()


def process_of(bench: WhisperBench) -> int:
    """The process of the model."""
    found = [
        pid
        for pid in children_of(os.getpid())
        if str(bench.model) in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    ]
    assert len(found) == 1
    return found[0]


def test_whisper_gives_every_word_its_time(whisper: WhisperBench) -> None:
    answer = whisper.ask(parameters={"language": "de-CH", "prompt": "Aare"})
    heard = json.loads(answer.body)
    assert heard["language"] == "de"
    assert [word["word"] for word in heard["segments"][0]["words"]] == [" word0", " word1", " word2", " word3"]
    assert {"avg_logprob", "compression_ratio", "no_speech_prob"} <= set(heard["segments"][0])
    assert answer.usage.seconds == 2
    assert (whisper.model / "asked").read_text(encoding="utf-8") == "de Aare False\n"


def test_the_package_that_is_missing_is_named_with_the_command(tmp_path: Path) -> None:
    if find_spec("faster_whisper") is not None:
        pytest.skip("the extra is installed here")
    bench = WhisperBench(tmp_path)
    with pytest.raises(Faulty) as caught:
        bench.ask()
    assert "pip install 'sourcebound[whisper]'" in caught.value.sentence


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_folder_without_a_whole_model_is_named_with_the_command(whisper: WhisperBench, name: str) -> None:
    """Without its tokenizer the package would ask the network for one, in the middle of a question."""
    (whisper.model / name).unlink()
    sentence = whisper.provider.unavailable(whisper.question().release)
    assert sentence is not None
    assert name in sentence
    assert f"--local-dir '{whisper.model}'" in sentence
    assert WhisperLocal().unavailable({"model": "whisper", "directory": ""})


def test_a_damaged_model_is_our_fault_until_it_is_mended(whisper: WhisperBench) -> None:
    (whisper.model / "model.bin").write_bytes(b"half of it")
    with pytest.raises(Faulty) as caught:
        whisper.ask()
    assert "may be damaged" in caught.value.sentence
    assert "--local-dir" in caught.value.sentence
    assert "Traceback" not in caught.value.sentence
    (whisper.model / "model.bin").write_bytes(MAGIC)
    assert whisper.ask().body


def test_another_model_than_the_releases_does_not_answer(whisper: WhisperBench) -> None:
    """Its answers would be published as the other's."""
    release = {**whisper.question().release, "sha256": hashlib.sha256(MAGIC).hexdigest()}
    assert whisper.ask(release=release).body
    with pytest.raises(Faulty, match="sha256"):
        whisper.ask(release={**release, "sha256": "0" * 64})


def test_an_option_the_package_does_not_know_fails_by_name(whisper: WhisperBench) -> None:
    with pytest.raises(Failed, match="beams"):
        whisper.ask(release={**whisper.question().release, "options": {"beams": 3}})


def test_the_process_stays_for_the_next_question_and_ends_with_its_provider(whisper: WhisperBench) -> None:
    whisper.ask()
    first = identity_of(process_of(whisper))
    whisper.ask()
    assert process_of(whisper) == first.pid
    whisper.provider.close()
    assert all_dead(first)
    whisper.provider.close()


def test_a_call_that_is_cut_off_kills_its_process(whisper: WhisperBench) -> None:
    """A model that goes on computing would hold its cores and its memory for an answer nobody reads."""
    whisper.ask()
    first = identity_of(process_of(whisper))
    whisper.behave("slow")
    with pytest.raises(Failed, match="within"):
        whisper.ask(deadline_s=0.5)
    assert all_dead(first)


def test_a_process_that_was_killed_is_a_failure_and_the_next_call_has_a_new_one(whisper: WhisperBench) -> None:
    whisper.ask()
    whisper.behave("slow")
    pid = process_of(whisper)
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(Failed, match="died"):
        whisper.ask()
    whisper.behave("")
    assert whisper.ask().body


def test_the_wait_for_ones_turn_is_not_counted_and_can_be_cancelled(whisper: WhisperBench) -> None:
    """Eight pieces of one file are asked at once: the last would be late before anybody heard it."""
    whisper.behave("slow")
    ended = threading.Event()
    first = threading.Thread(target=_quietly, args=(whisper, ended))
    first.start()
    assert eventually(lambda: whisper.asked() == 1)
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    with pytest.raises(Cancelled):
        whisper.ask(cancelled=cancelled)
    assert whisper.asked() == 1
    whisper.behave("")
    threading.Timer(1.5, ended.set).start()
    began = time.monotonic()
    assert whisper.ask(deadline_s=1.4).body
    assert time.monotonic() - began > 1.4
    first.join()


def test_it_waits_for_a_core_of_the_machine_and_the_wait_is_not_counted(whisper: WhisperBench, tmp_path: Path) -> None:
    permits = Permits(2, folder=tmp_path / "permits")
    compute = LocalCompute(permits, workers=2)
    provider = WhisperLocal(compute)
    try:
        with permits.acquire(), permits.acquire():
            cancelled = threading.Event()
            threading.Timer(0.3, cancelled.set).start()
            with pytest.raises(Cancelled):
                provider.answer(whisper.question(), cancelled)
            assert whisper.asked() == 0
            late = replace(whisper.question(), deadline_s=1.5)
            answers: list[bytes] = []
            asking = threading.Thread(target=lambda: answers.append(provider.answer(late, threading.Event()).body))
            asking.start()
            time.sleep(2)
            assert whisper.asked() == 0
        asking.join()
        assert answers
        assert permits.in_use() == 0
        whisper.behave("slow")
        held = threading.Event()
        asking = threading.Thread(target=_cancelled, args=(provider, whisper.question(), held))
        asking.start()
        assert eventually(lambda: permits.in_use() == 2)  # as many as it has threads, where nobody else wants them
        held.set()
        asking.join()
        assert permits.in_use() == 0
    finally:
        provider.close()
        compute.close()


def _cancelled(provider: WhisperLocal, question: Question, cancelled: threading.Event) -> None:
    with pytest.raises(Cancelled):
        provider.answer(question, cancelled)


def _quietly(bench: WhisperBench, cancelled: threading.Event) -> None:
    with pytest.raises(Cancelled):
        bench.ask(cancelled=cancelled)


def test_the_process_does_not_outlive_its_owner(whisper: WhisperBench) -> None:
    """In the middle of a question it reads nothing, and would not see the end of its pipe."""
    whisper.behave("slow")
    code = (
        "import json, sys, threading\n"
        "from pathlib import Path\n"
        "from processing.asking import AskTask\n"
        "from resources.providers.port import Question\n"
        "from resources.providers.whisper_local import WhisperLocal\n"
        "model, sound = map(Path, sys.argv[1:])\n"
        "release = {'model': 'whisper', 'directory': str(model)}\n"
        "question = Question(AskTask.SPEECH, release, {}, {'audio.flac': sound}, 'key', 60)\n"
        "WhisperLocal().answer(question, threading.Event())\n"
    )
    sound = whisper.question().payload["audio.flac"]
    owner = subprocess.Popen([sys.executable, "-c", code, str(whisper.model), str(sound)], cwd=ROOT)
    assert eventually(lambda: whisper.asked() == 1)
    child = identity_of(children_of(owner.pid)[0])
    owner.kill()
    owner.wait()
    assert eventually(lambda: all_dead(child), within_s=10)


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBench]:
    monkeypatch.setattr(processing, "__path__", [*processing.__path__, str(MISBEHAVING)])
    attempts: list[Any] = []
    permits = Permits(1, folder=tmp_path / "permits")
    compute = LocalCompute(permits, workers=1, on_attempt=attempts.append, operations=[MISBEHAVING])
    yield EmbeddedBench(tmp_path, compute, attempts)
    compute.close()


def test_a_worker_reads_the_payload_and_the_release(embedded: EmbeddedBench) -> None:
    answer = embedded.ask()
    sizes = [path.stat().st_size for path in embedded.question().payload.values()]
    told = json.loads(answer.body)
    assert (told["heard"], told["model"]) == (sum(sizes), "an-ear")
    assert told["names"] == sorted(embedded.question().payload)
    assert answer.usage.seconds == 2
    assert eventually(lambda: not list((embedded.folder / "scratch").iterdir()))


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("failed", Failed),
        ("sick", Failed),
        ("refused", Refused),
        ("stopped", Cancelled),
        ("no_file", Faulty),
        ("killed", Failed),
    ],
)
def test_the_end_of_a_task_is_an_end_of_the_port(
    embedded: EmbeddedBench, behaviour: str, failure: type[CallFailure]
) -> None:
    embedded.behave(behaviour)
    with pytest.raises(CallFailure) as caught:
        embedded.ask()
    assert type(caught.value) is failure
    assert embedded.asked() == 1


def test_a_role_without_a_suffix_keeps_the_files(embedded: EmbeddedBench, tmp_path: Path) -> None:
    """Decoders are chosen by it."""
    sound = embedded.question().payload["audio.flac"]
    assert json.loads(embedded.ask(payload={"audio": sound}).body)["names"] == ["audio.flac"]


def test_a_worker_cannot_hand_out_files_of_others(embedded: EmbeddedBench, tmp_path: Path) -> None:
    """It is a process that read hostile media: what a link in place of its answer names would be published."""
    embedded.behave("a_link")
    with pytest.raises(Faulty):
        embedded.ask()
    secret = tmp_path / "secret"
    secret.write_text("{}", encoding="utf-8")
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to(secret)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path):
        with pytest.raises(Faulty):
            written(path, "an-ear")


def test_the_deadline_bounds_the_worker_as_well(embedded: EmbeddedBench) -> None:
    """Nobody reads what it would make after it; it must not hold a permit for that."""
    embedded.behave("slow")
    began = time.monotonic()
    with pytest.raises(Failed):
        embedded.ask(deadline_s=1.0)
    assert time.monotonic() - began < 10  # its release would give it 22 s
    assert embedded.attempts[0].outcome == "out_of_budget"
    embedded.behave("")
    assert embedded.ask().body


def test_the_wait_for_a_permit_is_not_counted(embedded: EmbeddedBench, tmp_path: Path) -> None:
    """Where a film is encoded a piece of sound may wait for minutes, and is then heard in seconds."""
    permit = Permits(1, folder=tmp_path / "permits").acquire()
    with permit:
        threading.Timer(2.5, permit.close).start()
        assert embedded.ask(deadline_s=2.0).body


def test_a_stop_of_the_house_is_no_failure_of_the_model(embedded: EmbeddedBench) -> None:
    embedded.compute.request_stop()
    with pytest.raises(Cancelled):
        embedded.ask()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"operation": "os:system"}, "no operation"),
        ({"operation": "processing.words.absent:answer"}, "this build has no"),
        ({"bounds": {"wall_base_s": 5}}, "bounds"),
        ({"bounds": {"wall_base_s": 0, "wall_per_media_s": 1, "memory_mb": 5}}, "must be positive"),
    ],
)
def test_a_release_that_cannot_be_run_says_why(embedded: EmbeddedBench, change: dict[str, Any], word: str) -> None:
    release = {**embedded.question().release, **change}
    assert word in (embedded.provider.unavailable(release) or "")
    with pytest.raises(Faulty, match=word):
        embedded.ask(release=release)
    assert embedded.asked() == 0
