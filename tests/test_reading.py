"""The embedded reader: what it reads in real pictures, within which bounds, and that it needs nothing from outside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import BadInput, OutOfBudget
from processing.picture.stills import decode_still, flattened
from processing.probe.media_info import facts_of
from processing.words.answers.lines import read_lines
from processing.words.embedded import reading, reading_plan
from processing.words.embedded.reading import Reader, answer, enlargement
from processing.words.frame_answers import PICTURE as PICTURE_FILE
from processing.work import Bounds, Task
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.providers.embedded import Embedded
from resources.providers.port import Answer, CallFailure, Faulty, Question
from resources.releases.registry import read_registry
from tests.asking_trial import answer as as_answer
from tests.asking_trial import question
from tests.corpus import corpus_file

ASK = Ask("reading/0000", AskTask.READING, payload={PICTURE_FILE: f"reading/0000/{PICTURE_FILE}"})
# What media_assets.shown declares for one question: measured 530 MB at 1920 x 1080.
BOUNDS = Bounds(wall_base_s=120, wall_per_media_s=0, memory_mb=1024, output_mb=16)


def picture_of(name: str) -> Image.Image:
    path = corpus_file(name)
    return flattened(decode_still(path, facts_of(path, {"grid": {"target_s": 6}})))


def asked(picture: Image.Image, folder: Path) -> Task:
    (folder / "ask").mkdir(parents=True, exist_ok=True)
    picture.save(folder / "ask" / PICTURE_FILE)
    return question(ASK, folder / "ask", folder / "scratch")


def told(task: Task) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((task.out / ANSWER_FILE).read_text())
    return document


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def text_of(lines: list[dict[str, Any]]) -> str:
    return " ".join(line["text"] for line in lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ocr/issue_170.png", "TEST"),
        ("ocr/img_exif_orientation.jpg", "我是中国人"),
        ("ocr/cosmic.png", "from beyond the Cosmic Void"),
        ("ocr/phototest.tif", "The quick brown dog jumped over the lazy fox."),
        ("ocr/eurotext.tif", "Le renard brun «rapide» saute par-dessus le chien paresseux."),
    ],
)
def test_print_is_read(reader: Reader, name: str, text: str) -> None:
    assert text in text_of(reader.lines(picture_of(name)))


def test_nothing_is_read_where_nothing_is(reader: Reader) -> None:
    assert reader.lines(picture_of("ocr/empty_black.jpg")) == []
    assert reader.lines(Image.new("RGB", (64, 48), "white")) == []
    assert reader.lines(Image.new("RGB", (1, 1))) == []


def test_what_is_surely_text_and_cannot_be_read_is_told_as_a_place(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LEAST_SCORE", 1.1)  # as if the script were unknown
    lines = reader.lines(picture_of("ocr/phototest.tif"))
    assert len(lines) == 8
    assert {line["text"] for line in lines} == {""}
    monkeypatch.setattr(reading, "SURE_AREA", 1.1)  # as leaves of a tree are found
    assert reader.lines(picture_of("ocr/phototest.tif")) == []


def test_text_on_its_head_is_read_and_said_to_be(reader: Reader) -> None:
    """Small print was taken for upright, and came out as rubbish."""
    upright = picture_of("ocr/phototest.tif")
    lines = reader.lines(upright.rotate(180))
    assert all(line["turned"] for line in lines)
    assert text_of(lines[::-1]) == text_of(reader.lines(upright))
    first = lines[-1]["box"]  # its first point is where reading begins: now at the lower right
    assert first[0][0] > first[1][0]
    assert first[0][1] > first[2][1]


def test_boxes_lie_around_the_text(reader: Reader) -> None:
    """The picture is enlarged and given a margin before it is read; places are of the picture that came."""
    picture = Image.new("RGB", (320, 200), "white")
    picture.paste(picture_of("ocr/issue_170.png").resize((80, 57)), (200, 100))
    (line,) = reader.lines(picture)
    assert line["text"] == "TEST"
    across, down = [x for x, _ in line["box"]], [y for _, y in line["box"]]
    assert 195 <= min(across) < 215
    assert 265 < max(across) <= 285
    assert 95 <= min(down) <= 125
    assert 130 < max(down) <= 160


@pytest.mark.parametrize(
    ("size", "by"),
    [
        ((1280, 720), 1.0),
        ((3840, 2160), 0.5),
        ((320, 240), 3.0),
        ((640, 400), 1.8),
        ((253, 39), 3.0),
        ((9, 6000), 0.32),
    ],
)
def test_a_picture_is_looked_at_no_larger_than_is_good_for_memory(size: tuple[int, int], by: float) -> None:
    assert enlargement(*size) == pytest.approx(by)


def test_no_model_is_looked_for_on_a_network(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package downloads what is missing, and checks what it finds against what it would download."""
    from rapidocr.utils.download_file import DownloadFile

    def fetch(*_: Any) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(DownloadFile, "run", fetch)
    assert Reader().lines(picture_of("ocr/issue_170.png"))[0]["text"] == "TEST"


def test_the_models_are_known_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reading_plan.model.__wrapped__()
    assert len(first["sha256"]) == 64
    assert first["version"]

    def other(name: str) -> Path:
        (tmp_path / name).write_bytes(b"other" + name.encode())
        return tmp_path / name

    monkeypatch.setattr(reading_plan, "model_path", other)
    assert reading_plan.model.__wrapped__()["sha256"] != first["sha256"]
    monkeypatch.undo()
    monkeypatch.setattr(reading_plan, "PACKAGE", "no_such_package")
    with pytest.raises(reading_plan.NoModel, match="make setup"):
        reading_plan.model_path(reading_plan.READING)


def test_what_is_no_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = asked(Image.new("RGB", (50, 50)), tmp_path)
    monkeypatch.setattr(reading, "MOST_PIXELS", 2499)
    with pytest.raises(BadInput, match="too large"):
        answer(task)
    task.inputs["ask"].path(PICTURE_FILE).write_bytes(b"\x89PNG\r\n\x1a\n nonsense")
    with pytest.raises(BadInput, match="cannot be decoded"):
        answer(task)


class TestInAWorker:
    """Locked down: no network, no files but the question's, one thread, a bound of memory."""

    @pytest.fixture
    def compute(self, tmp_path: Path) -> Iterator[LocalCompute]:
        compute = LocalCompute(Permits(2, folder=tmp_path / "run"), workers=1, on_attempt=lambda _: None)
        yield compute
        compute.close()

    def task(self, picture: Image.Image, folder: Path) -> Task:
        task = replace(asked(picture, folder), operation="processing.words.embedded.reading:answer")
        task.scratch.mkdir()
        return task

    def test_it_reads_within_its_bounds(self, compute: LocalCompute, tmp_path: Path) -> None:
        page = Image.new("RGB", (1920, 1080), "white")
        for at in range(6):
            page.paste(picture_of("ocr/phototest.tif"), ((at % 3) * 640, (at // 3) * 540))
        task = self.task(page, tmp_path)
        started = time.monotonic()
        done = compute.run(task, BOUNDS, media_s=0, label="reading")
        print(
            f"1920 x 1080, 48 lines: {done.usage.cpu_s:.1f} CPU-s, {time.monotonic() - started:.1f} s, "
            f"{done.usage.peak_memory_bytes >> 20} MB"
        )
        assert done.result.facts["format"] == "rapidocr.v1"
        read = read_lines(
            as_answer(tmp_path / "answer", (task.out / ANSWER_FILE).read_bytes(), "rapidocr.v1"), page.size
        )
        assert sum("quick brown dog" in line.text for line in read) >= 18
        assert done.usage.peak_memory_bytes < BOUNDS.memory_mb * 0.75 * (1 << 20)
        assert done.usage.cpu_s <= 1.2 * done.usage.wall_s  # one thread works

    def test_a_bound_of_memory_ends_it(self, compute: LocalCompute, tmp_path: Path) -> None:
        task = self.task(Image.effect_noise((1900, 1060), 80).convert("RGB"), tmp_path)
        with pytest.raises(OutOfBudget, match="memory"):
            compute.run(task, replace(BOUNDS, memory_mb=120), media_s=0, label="reading")


def test_a_picture_drawn_here_is_read(reader: Reader) -> None:
    """Not only what is in the corpus."""
    picture = Image.new("RGB", (400, 120), "navy")
    ImageDraw.Draw(picture).text((20, 30), "Gate 27 closes", fill="white", font_size=40)
    assert text_of(reader.lines(picture)) == "Gate 27 closes"


def signed(path: Path, text: str) -> Path:
    """A picture of a word."""
    picture = Image.new("RGB", (480, 160), "white")
    ImageDraw.Draw(picture).text((40, 40), text, "black", font=ImageFont.load_default(size=64))
    picture.save(path)
    return path


def test_pictures_asked_about_together_share_a_worker_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is none of them keeps no other from its answer."""
    (release,) = read_registry().used(AskTask.READING)
    files = [signed(tmp_path / f"{text}.png", text) for text in ("Harbour", "Ferry", "Island")]
    files.append(tmp_path / "broken.png")
    files[-1].write_bytes(b"no picture at all")
    compute = LocalCompute(Permits(2, folder=tmp_path / "permits"), workers=2)
    ran: list[tuple[str, int]] = []
    run = compute.run

    def noting(task: Task, *told: Any, **more: Any) -> Any:
        ran.append((task.operation, len(task.inputs)))
        return run(task, *told, **more)

    monkeypatch.setattr(compute, "run", noting)
    provider = Embedded(compute, tmp_path / "scratch")

    def ask(path: Path) -> Answer | CallFailure:
        question = Question(
            task=AskTask.READING,
            release=release.settings,
            parameters={},
            payload={"picture.png": path},
            idempotency_key=path.name,
            deadline_s=60.0,
        )
        try:
            return provider.answer(question, threading.Event())
        except CallFailure as failure:
            return failure

    try:
        with ThreadPoolExecutor(len(files)) as threads:
            *answers, broken = threads.map(ask, files)
            ran_before = list(ran)
            (alone,) = threads.map(ask, files[:1])
            together = list(threads.map(ask, files[:3]))
    finally:
        compute.close()
    assert ran_before[0] == ("processing.words.embedded.reading:answers", len(files))
    assert [inputs for _, inputs in ran_before[1:]] == [1] * len(files), "then each by itself"
    said = [json.loads(each.body)["lines"][0]["text"] for each in answers if isinstance(each, Answer)]
    assert said == ["Harbour", "Ferry", "Island"]
    assert isinstance(broken, Faulty)
    assert isinstance(alone, Answer)
    assert [each.body for each in together if isinstance(each, Answer)] == [
        each.body for each in answers if isinstance(each, Answer)
    ], "whoever it is asked with, the answer is the same"
    assert ran[-1][1] == 3
