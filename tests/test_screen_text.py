"""Text in pictures: read where it stands, followed over frames, told with its times, and judged by its contract."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from media_assets.declared import declared
from media_assets.shown import SCREEN_TEXT
from media_assets.spec import works_of
from processing.asking import Ask
from processing.contracts.screen_text import contract
from processing.failures import ContractBroken
from processing.manifest import Outcome
from processing.picture import samples_plan, scenes, shots_plan
from processing.probe.media_info import facts_of
from processing.words import frames_plan, screen_text_plan
from processing.words.answers.boxes import Box, bounds
from processing.words.answers.line import Line
from processing.words.embedded import reading_plan
from processing.words.frames import Frame, frames_of, one_a_shot, still_size, thinned
from processing.words.frames_tap import changed_share
from processing.words.screen_text import LIST_FILE, alike, followed_over, is_unreadable, make, span_of
from processing.work import Input, Task
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from tests.asking_trial import Answering, answer, embedded, finished
from tests.corpus import corpus_file
from tests.media import as_input, make_video, source_task
from tests.media_picture import broken, clip_info, film, make_products

MODEL = reading_plan.model()
OPTIONS = {"models": {"reading": MODEL}}
RULES = screen_text_plan.RULES
SIZE = (640, 360)


def page(ground: str, *texts: tuple[str, int, int], size: int = 36) -> np.ndarray[Any, Any]:
    """A picture of texts at places."""
    picture = Image.new("RGB", SIZE, ground)
    for text, x, y in texts:
        ImageDraw.Draw(picture).text((x, y), text, fill="white", font_size=size)
    return np.asarray(picture)


def task_of(path: Path, folder: Path, *, target_s: int = 2, options: dict[str, Any] | None = None) -> Task:
    """The task of the asset as production would hand it over, before any answer."""
    wishes = options or OPTIONS
    info = clip_info(path, target_s=target_s) if path.suffix in VIDEOS else facts_of(path, {"grid": {"target_s": 6}})
    inputs: dict[str, Input] = {"media_info": as_input("media_info", _empty(folder / "info"), info)}
    if info.get("video"):
        planned = [each for plan in PLANS for each in plan(info, wishes)]
        made = make_products(path, folder / "made", info, planned, wishes)
        shots = source_task(path, folder / "scenes")
        shots = replace(shots, inputs={name: item for name, item in made.items() if not name.startswith("frames/")})
        found = as_input("scenes", shots.out, scenes.make(shots).facts)
        inputs |= {"scenes": found, **{name: item for name, item in made.items() if name.startswith("frames/")}}
    task = source_task(path, folder / "screen_text", parameters=screen_text_plan.parameters(info, wishes))
    return replace(task, inputs=inputs)


VIDEOS = (".mp4", ".mkv", ".mov", ".MOV", ".webm")
PLANS = (frames_plan.plan, samples_plan.plan, shots_plan.plan)


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def document_of(task: Task) -> dict[str, Any]:
    assert task.made is not None
    document: dict[str, Any] = json.loads(task.made.path(LIST_FILE).read_text())
    return document


def entry(document: dict[str, Any], text: str) -> dict[str, Any]:
    """The one entry with a text."""
    (found,) = [line for line in document["lines"] if line["text"] == text]
    return found  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def departures(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Three seconds of one page, three of another; the station's name stays. Chunks are two seconds long."""
    folder = tmp_path_factory.mktemp("departures")
    first = page("navy", ("Gate 27 closes", 60, 240), ("Northern Station", 300, 20))
    second = page("darkred", ("Platform nine", 60, 160), ("Northern Station", 300, 20))
    clip = film(folder / "clip.mkv", [first] * 75 + [second] * 75)
    task, _ = finished(make, task_of(clip, folder), embedded)
    return task


def test_a_line_that_stays_is_one_entry_with_its_span(departures: Task) -> None:
    document = document_of(departures)
    second = document["timescale"]
    spans = {line["text"]: (line["start"] / second, line["end"] / second) for line in document["lines"]}
    assert spans == {"Gate 27 closes": (0, 3), "Platform nine": (3, 6), "Northern Station": (0, 6)}
    assert document["ai_generated"] is True
    assert document["review"] == "unreviewed"
    assert document["model"] == MODEL


def test_only_frames_that_changed_are_asked_about(departures: Task) -> None:
    """Six seconds, looked at every two and after each jump, in three chunks: two pictures, hence two questions."""
    document = document_of(departures)
    assert [frame["lines"] for frame in document["frames"]] == [2, 2]
    assert entry(document, "Northern Station")["frames"] == [0, 1]


def test_boxes_are_where_the_text_is_drawn(departures: Task) -> None:
    left, top, right, bottom = bounds(entry(document_of(departures), "Gate 27 closes")["box"])
    assert 50 <= left <= 65
    assert 280 <= right <= 345
    assert 230 <= top <= 255
    assert 265 <= bottom <= 290


def test_what_is_read_keeps_its_contract(departures: Task) -> None:
    assert [(v.clause, v.found) for v in contract(departures) if v.outcome is not Outcome.PASSED] == []


def test_a_kill_loses_nothing_the_same_is_asked_again(departures: Task, tmp_path: Path) -> None:
    again = replace(departures, scratch=tmp_path / "again", made=None)
    result = make(again)
    assert not result.asks
    assert (again.out / LIST_FILE).read_bytes() == departures.made.path(LIST_FILE).read_bytes()  # type: ignore[union-attr]
    unanswered = {name: item for name, item in departures.inputs.items() if name != "reading/0001"}
    (ask,) = make(replace(departures, scratch=tmp_path / "one", inputs=unanswered, made=None)).asks
    assert ask.name == "reading/0001"
    assert (tmp_path / "one" / "asks" / ask.payload["picture.png"]).is_file()


@pytest.mark.parametrize(("turned", "degrees"), [(1, 90), (2, 180), (3, -90)])
def test_boxes_of_a_turned_film_are_in_the_picture_as_it_is_displayed(
    tmp_path: Path, turned: int, degrees: int
) -> None:
    upright = page("navy", ("Gate 27 closes", 60, 240))
    path = tmp_path / "turned.mp4"
    coded = np.ascontiguousarray(np.rot90(upright, -turned))
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.height, stream.width = coded.shape[:2]
        stream.pix_fmt = "yuv444p"
        stream.set_display_rotation(degrees)
        for _ in range(25):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(coded, format="rgb24")))
        output.mux(stream.encode(None))
    task, _ = finished(make, task_of(path, tmp_path), embedded)
    document = document_of(task)
    assert document["picture"] == {"width": 640, "height": 360}
    left, top, right, bottom = bounds(entry(document, "Gate 27 closes")["box"])
    assert (50 <= left <= 65, 230 <= top <= 255, 280 <= right <= 345, 265 <= bottom <= 290) == (True,) * 4
    assert broken(contract(task)) == []


def test_a_still_has_lines_without_times(tmp_path: Path) -> None:
    task, result = finished(make, task_of(corpus_file("ocr/img_exif_orientation.jpg"), tmp_path), embedded)
    line = entry(document_of(task), "我是中国人")
    assert (line["start"], line["end"], line["frames"]) == (None, None, [0])
    assert not line["turned"]  # the file says that it lies on its head, and is turned before it is read
    assert result.facts["lines"] == 1
    assert broken(contract(task)) == []


def test_boxes_are_in_pixels_of_the_picture_and_not_of_what_was_sent(tmp_path: Path) -> None:
    """A large still is sent smaller than it is."""
    picture = Image.fromarray(page("navy", ("Gate 27 closes", 60, 240))).resize((2400, 1350))
    picture.save(tmp_path / "large.png")
    sent: list[tuple[int, int]] = []

    def answering(ask: Ask, folder: Path) -> tuple[bytes, str]:
        with Image.open(folder / "picture.png") as shown:
            sent.append(shown.size)
        return told(("Gate 27 closes", ON_THE_SIGN))(ask, folder)

    task, _ = finished(make, task_of(tmp_path / "large.png", tmp_path), answering)
    assert sent == [(1920, 1080)]
    left, top, right, bottom = bounds(entry(document_of(task), "Gate 27 closes")["box"])
    for found, due in zip((left, top, right, bottom), (216, 877.5, 1344, 1080), strict=True):
        assert abs(found - due) <= 1.5
    assert broken(contract(task)) == []


def test_a_picture_without_text_is_a_result_with_no_line(tmp_path: Path) -> None:
    task, result = finished(make, task_of(corpus_file("ocr/empty_black.jpg"), tmp_path), embedded)
    assert (result.facts["lines"], result.facts["frames"]) == (0, 1)
    assert broken(contract(task)) == []


def test_text_of_another_script_is_said_to_be_unread(tmp_path: Path) -> None:
    """The model knows no Cyrillic: it read a full stop, surely, where a sentence stands."""
    task, result = finished(make, task_of(corpus_file("ocr/cyrillic.png"), tmp_path), embedded)
    assert (result.facts["lines"], result.facts["unread"]) == (0, 1)
    warned = [verdict.clause for verdict in contract(task) if verdict.outcome is Outcome.WARNED]
    assert "all text could be read" in warned


def test_a_page_that_nobody_here_can_read_is_not_called_empty(sign: Task, tmp_path: Path) -> None:
    """Without it a page of Arabic would be published as a picture without text, or refused for being one."""
    places = [
        {"text": "", "confidence": 0.3, "box": [[60, y], [300, y], [300, y + 30], [60, y + 30]]} for y in (90, 150)
    ]
    content = {"width": 640, "height": 360, "lines": [{**place, "turned": False} for place in places]}
    told_ = json.dumps(content).encode(), "rapidocr.v1"
    task, result = finished(make, replace(sign, scratch=tmp_path / "scratch"), lambda *_: told_)
    assert (result.facts["lines"], result.facts["unread"]) == (0, 2)
    verdicts = contract(task)
    assert broken(verdicts) == []
    assert [v.clause for v in verdicts if v.outcome is Outcome.WARNED] == ["all text could be read"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("scene/scene-change.mov", {"Climate Scene": 0.5, "Acknowledgements": 13.0}),
        ("scene/big_buck_bunny_0_30.webm", {"THE PEACH OPEN MOVIE PROJECT": 22.0}),
    ],
)
def test_text_of_real_films_is_found_at_its_time(tmp_path: Path, name: str, fragments: dict[str, float]) -> None:
    task, _ = finished(make, task_of(corpus_file(name), tmp_path, target_s=6), embedded)
    document = document_of(task)
    for text, at_s in fragments.items():
        at = at_s * document["timescale"]
        assert [line for line in document["lines"] if text in line["text"] and line["start"] <= at < line["end"]], text
    assert broken(contract(task)) == []


def told(*lines: tuple[str, list[int]]) -> Answering:
    """A model that sees and says these lines of every picture; boxes in thousandths."""

    def answering(_ask: Ask, _folder: Path) -> tuple[bytes, str]:
        content = {"lines": [{"text": text, "box": box, "confidence": 900} for text, box in lines]}
        message = {"content": json.dumps(content), "refusal": None}
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode(), "openai.vision.v1"

    return answering


@pytest.fixture(scope="module")
def sign(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A second of a sign, not asked about yet."""
    folder = tmp_path_factory.mktemp("sign")
    return task_of(film(folder / "sign.mkv", [page("navy", ("Gate 27 closes", 60, 240))] * 25), folder)


ON_THE_SIGN = [90, 650, 560, 800]


def judged(sign: Task, folder: Path, answering: Answering) -> list[str]:
    task, _ = finished(make, replace(sign, scratch=folder / "scratch"), answering)
    return broken(contract(task))


def test_an_excuse_for_text_is_refused_and_a_subtitle_like_one_is_not(sign: Task, tmp_path: Path) -> None:
    excuse = told(("I'm sorry, I cannot read the text in this image.", ON_THE_SIGN))
    assert judged(sign, tmp_path / "a", excuse) == ["is no excuse"]
    assert judged(sign, tmp_path / "b", told(("I'm sorry, I cannot go on", ON_THE_SIGN))) == ["is no excuse"]
    beside = told(("I'm sorry, I cannot go on", ON_THE_SIGN), ("Act III", [90, 600, 560, 850]))
    assert judged(sign, tmp_path / "c", beside) == []


def test_nothing_read_where_a_page_stands_is_refused(tmp_path: Path) -> None:
    lines = [(f"Line {number} of a page of print", 40, 20 + 60 * number) for number in range(5)]
    full = task_of(film(tmp_path / "page.mkv", [page("navy", *lines)] * 25), tmp_path)
    assert judged(full, tmp_path / "empty", told()) == ["nothing read where nothing is"]


def test_lines_over_an_even_place_are_refused(sign: Task, tmp_path: Path) -> None:
    """A model that writes may write what it expects to stand there."""
    assert judged(sign, tmp_path, told(("Welcome aboard", [100, 50, 900, 200]))) == ["places are not even"]


def test_a_line_without_end_is_refused(sign: Task, tmp_path: Path) -> None:
    loop = told(*[("Gate 27", [90 + at, 650, 560 + at, 800]) for at in range(25)])
    assert "does not repeat itself" in judged(sign, tmp_path, loop)


def test_a_refusal_ends_the_work(sign: Task, tmp_path: Path) -> None:
    def refusing(_ask: Ask, _folder: Path) -> tuple[bytes, str]:
        message = {"content": None, "refusal": "I can't assist with that."}
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode(), "openai.vision.v1"

    with pytest.raises(ContractBroken, match="refused") as raised:
        finished(make, replace(sign, scratch=tmp_path / "scratch"), refusing)
    assert raised.value.answers == ("reading/0000",)


def test_an_answer_of_the_wrong_form_is_asked_for_once_more_with_its_fault(sign: Task, tmp_path: Path) -> None:
    faults: list[str | None] = []

    def learning(ask: Ask, folder: Path) -> tuple[bytes, str]:
        faults.append(ask.parameters.get("fault"))
        box = ON_THE_SIGN if faults[-1] else [90, 650, 5600, 800]
        return told(("Gate 27 closes", box))(ask, folder)

    task, _ = finished(make, replace(sign, scratch=tmp_path / "scratch"), learning)
    assert broken(contract(task)) == []
    first, again = faults
    assert first is None
    assert again is not None
    assert "box" in again
    document = document_of(task)
    assert [line["text"] for line in document["lines"]] == ["Gate 27 closes"]
    assert [frame["ask"] for frame in document["frames"]] == ["reading/0000/repair"]


def test_who_reads_and_does_not_write_is_not_asked_again(sign: Task, tmp_path: Path) -> None:
    asked: list[str] = []

    def service(ask: Ask, _folder: Path) -> tuple[bytes, str]:
        asked.append(ask.name)
        return b"{}", "aws.textract.v1"

    with pytest.raises(ContractBroken):
        finished(make, replace(sign, scratch=tmp_path / "scratch"), service)
    assert asked == ["reading/0000"]


def test_only_so_many_frames_are_asked_about_again(departures: Task, tmp_path: Path) -> None:
    asked: list[str] = []

    def hopeless(ask: Ask, _folder: Path) -> tuple[bytes, str]:
        asked.append(ask.name)
        return b"{}", "openai.vision.v1"

    unasked = {name: item for name, item in departures.inputs.items() if not name.startswith("reading/")}
    with pytest.raises(ContractBroken) as raised:
        finished(make, replace(departures, scratch=tmp_path / "scratch", inputs=unasked), hopeless)
    assert list(raised.value.answers) == asked
    assert len(asked) > 1
    assert not [name for name in asked if name.endswith("/repair")]  # two were wrong, and one might be asked again


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any]], object], **facts: Any) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / LIST_FILE).read_text())
    change(document)
    (folder / LIST_FILE).write_text(json.dumps(document, ensure_ascii=False))
    return broken(contract(replace(task, made=as_input("screen_text", folder, {**task.made.facts, **facts}))))


def _first(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["lines"][0].update(changes)


def _halved(document: dict[str, Any]) -> None:
    first = document["lines"][0]
    document["lines"].append({**first, "start": first["end"] - 9, "frames": first["frames"][-1:]})


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another text": (_first(text="Gate 28 closes"), "lines are what was answered"),
    "another place": (_first(box=[[1, 1], [99, 1], [99, 9], [1, 9]]), "lines are what was answered"),
    "less sure": (_first(confidence=1), "lines are what was answered"),
    "no text": (_first(text=" "), "lines are text"),
    "the other way": (_first(direction="rtl"), "lines are text"),
    "too sure": (_first(confidence=1001), "lines are text"),
    "outside": (_first(box=[[1, 1], [641, 1], [641, 9], [1, 9]]), "boxes lie inside the picture"),
    "without area": (_first(box=[[1, 1], [1, 1], [1, 9], [1, 9]]), "boxes lie inside the picture"),
    "a box of no frame": (_first(box_frame=7), "boxes lie inside the picture"),
    "after the end": (_first(end=10**9), "times lie inside the media"),
    "before it was shown": (_first(start=-1), "times lie inside the media"),
    "begins anywhere": (_first(start=17), "times lie inside the media"),
    "ends before it begins": (_first(end=0), "times lie inside the media"),
    "a time that is none": (_first(start=0.5), "list readable"),
    "no time": (_first(start=None, end=None), "times lie inside the media"),
    "cites nothing": (_first(frames=[9]), "times lie inside the media"),
    "left out": (lambda document: document["lines"].pop(), "what was answered is told"),
    "emptied": (lambda document: document["lines"].clear(), "what was answered is told"),
    "told twice": (lambda document: document["lines"].append(document["lines"][0]), "what was answered is told"),
    "cut in two": (_halved, "what was answered is told"),
    "a frame gone": (lambda document: document["frames"].pop(), "every frame is told once"),
    "another time": (lambda document: document["frames"][0].update(ticks=5), "every frame is told once"),
    "no lines": (lambda document: document.pop("lines"), "list readable"),
    "another model": (lambda document: document.update(model={"id": "other"}), "facts agree"),
    "not said to be made": (lambda document: document.update(timescale=1), "facts agree"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(departures: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(departures, tmp_path / "spoiled", change)


def test_the_contract_refuses_wrong_facts_missing_answers_and_no_file(departures: Task, tmp_path: Path) -> None:
    for number, facts in enumerate([{"lines": 9}, {"review": "approved"}, {"ai_generated": False}]):
        assert spoiled(departures, tmp_path / str(number), lambda _: None, **facts) == ["facts agree"]
    without = {name: item for name, item in departures.inputs.items() if not name.startswith("reading/")}
    assert broken(contract(replace(departures, inputs=without))) == ["answers readable"]
    made = as_input("screen_text", _empty(tmp_path / "empty"), departures.made.facts)  # type: ignore[union-attr]
    assert broken(contract(replace(departures, made=made))) == ["list readable"]
    excused = as_input("screen_text", _empty(tmp_path / "empty"), {"not_applicable": "nothing"})
    assert broken(contract(replace(departures, made=excused))) == ["there is no picture to read"]


def test_a_contract_notices_one_line_told_as_two(departures: Task, tmp_path: Path) -> None:
    def cut(document: dict[str, Any]) -> None:
        (line,) = [line for line in document["lines"] if line["text"] == "Northern Station"]
        document["lines"] += [{**line, "frames": [0], "box_frame": 0}, {**line, "frames": [1], "box_frame": 1}]
        document["lines"].remove(line)

    assert "a line that stays is one" in spoiled(departures, tmp_path / "cut", cut)


@pytest.mark.slow
def test_locked_down_it_asks_answers_and_judges(tmp_path: Path) -> None:
    """The contract loads the models too, where nothing was read: they have to be in reach of a worker."""
    lines = [(f"Line {number} of a page of print", 40, 20 + 60 * number) for number in range(5)]
    task = task_of(film(tmp_path / "page.mkv", [page("navy", *lines)] * 25), tmp_path)
    work = SCREEN_TEXT.work
    compute = LocalCompute(Permits(2, folder=tmp_path / "run"), workers=1, on_attempt=lambda _: None)
    try:
        asking = replace(task, operation=work.operation)
        (ask,) = compute.run(asking, work.bounds, media_s=1, label="asking").result.asks
        content, format_ = told()(ask, task.asks / ask.name)
        inputs = {**task.inputs, ask.name: answer(tmp_path / "answer", content, format_)}
        done = compute.run(replace(asking, inputs=inputs), work.bounds, media_s=1, label="putting together")
        made = as_input("screen_text", task.out, done.result.facts)
        judging = replace(task, operation=work.contract, inputs=inputs, made=made, scratch=_empty(tmp_path / "judging"))
        verdicts, usage = compute.check(judging, work.bounds, media_s=1, label="judging")
    finally:
        compute.close()
    assert broken(verdicts) == ["nothing read where nothing is"]
    assert usage.peak_memory_bytes < work.bounds.memory_mb * 0.75 * (1 << 20)


def test_the_declarations_fit_into_the_catalogue() -> None:
    works = works_of(declared())
    assert works["screen_text"].depends_on == ("media_info", "scenes", "chunks")
    assert works["labels"].depends_on == ("media_info", "scenes", "chunks")
    assert works["embeddings"].depends_on == ("media_info", "transcript", "screen_text")


def test_it_applies_where_there_is_a_picture_and_a_model() -> None:
    applies = SCREEN_TEXT.work.applies
    video, audio = {"kind": "video", "video": {}, "image": None}, {"kind": "audio", "video": None, "image": None}
    assert applies({**video, "video": {"a": 1}}, OPTIONS) is None
    assert applies({**audio, "image": {"a": 1}}, OPTIONS) is None
    assert applies(audio, OPTIONS) == "the source has no picture"
    assert applies({**video, "video": {"a": 1}}, {}) == "no model for reading is configured"
    told_ = {"no_model": {"reading": "rapidocr-ppocr-v6-small does not speak ru"}}
    assert applies({**video, "video": {"a": 1}}, told_) == "rapidocr-ppocr-v6-small does not speak ru"


def box(left: int, top: int, right: int, bottom: int) -> Box:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


HERE = box(10, 10, 200, 40)


def line(text: str, at: Box = HERE, confidence: int | None = 900) -> Line:
    return Line(text, at, confidence)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (line("Gate 27 closes"), line("Gate 27 closes"), True),
        (line("Gate 27 closes"), line("GATE 27 c1oses".replace("1", "l")), True),
        (line("Northern Station"), line("Northem Station"), True),  # readers disagree
        (line("01:00:00:00"), line("01:00:02:00"), False),  # another time is another text
        (line("Gate 27 closes"), line("Platform nine"), False),
        (line("Gate 27"), line("Gate 27", box(300, 10, 490, 40)), False),
        (line("Gate 27"), line("Gate 27", box(30, 12, 220, 42)), True),
    ],
)
def test_one_line_is_told_from_two(one: Line, other: Line, same: bool) -> None:
    assert bool(alike(one, other, RULES)) is same
    assert bool(alike(other, one, RULES)) is same


def test_a_reader_may_blink_once() -> None:
    blinked = followed_over([[line("Gate 27")], [], [line("Gate 27")]], RULES)
    assert [[number for number, _ in each.sightings] for each in blinked] == [[0, 2]]
    assert len(followed_over([[line("Gate 27")], [], [], [line("Gate 27")]], RULES)) == 2


def test_the_surest_reading_is_told() -> None:
    (followed,) = followed_over([[line("Northem Station", confidence=700)], [line("Northern Station")]], RULES)
    assert followed.best == (1, line("Northern Station"))


@given(st.lists(st.lists(st.sampled_from(["Gate 27", "Gate 28", "Northern", "Northem"]), max_size=4), max_size=8))
def test_every_reading_belongs_to_one_line_and_no_line_has_two_in_one_frame(read: list[list[str]]) -> None:
    lines = [[line(text, box(0, 40 * at, 200, 40 * at + 30)) for at, text in enumerate(texts)] for texts in read]
    found = followed_over(lines, RULES)
    sightings = [(number, id(each)) for followed in found for number, each in followed.sightings]
    assert sorted(sightings) == sorted((number, id(each)) for number, here in enumerate(lines) for each in here)
    for followed in found:
        numbers = [number for number, _ in followed.sightings]
        assert numbers == sorted(set(numbers))


def kept(*ticks: int, change: Sequence[int] = ()) -> list[Frame]:
    changes = change or [1000] * len(ticks)
    return [Frame(at, each, Path("x"), SIZE, changes[at]) for at, each in enumerate(ticks)]


@pytest.mark.parametrize(
    ("first", "last", "starts", "span"),
    [
        (0, 0, [0], (0, 200)),
        (1, 1, [0], (200, 400)),
        (1, 1, [0, 180], (180, 400)),  # the shot brought it
        (1, 1, [0, 180, 390], (180, 390)),  # and the next one took it away
        (0, 2, [0, 180, 390], (0, 600)),
        (2, 2, [0, 180, 400], (400, 600)),
    ],
)
def test_spans_begin_and_end_with_frames_or_shots(
    first: int, last: int, starts: list[int], span: tuple[int, int]
) -> None:
    timeline = {"start": 0, "end": 600, "timescale": 100}
    assert span_of(first, last, kept(0, 200, 400), starts, timeline) == span


@pytest.mark.parametrize(
    ("text", "at", "unreadable"),
    [
        (".", box(0, 0, 253, 39), True),
        ("B", box(0, 0, 253, 39), True),
        ("B", box(0, 0, 39, 39), False),
        ("no", box(0, 0, 253, 39), False),
        ("—", box(0, 0, 20, 400), True),
        ("", box(0, 0, 39, 39), True),
    ],
)
def test_a_letter_for_a_sentence_is_not_read(text: str, at: Box, unreadable: bool) -> None:
    assert is_unreadable(line(text, at), RULES) is unreadable


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=80, unique=True), st.integers(1, 40), st.data())
def test_frames_are_thinned_to_a_bound_over_all_the_length(ticks: list[int], most: int, data: st.DataObject) -> None:
    changes = data.draw(st.lists(st.integers(1, 1000), min_size=len(ticks), max_size=len(ticks)))
    frames = kept(*sorted(ticks), change=changes)
    chosen = thinned(frames, most)
    assert 1 <= len(chosen) <= most
    assert [each.number for each in chosen] == list(range(len(chosen)))
    assert all(one.ticks < other.ticks for one, other in itertools.pairwise(chosen))  # type: ignore[operator]
    if len(frames) <= most:
        assert [each.ticks for each in chosen] == sorted(ticks)
    else:
        part = (max(ticks) - min(ticks) + 1) / most
        times = [each.ticks or 0 for each in chosen]
        for each in ticks:  # nothing is further from a chosen frame than two parts
            assert min(abs(each - time) for time in times) <= 2 * part
    shots = one_a_shot(frames, sorted(ticks)[::3], most)
    assert len(shots) <= min(most, len(sorted(ticks)[::3]))


@pytest.mark.parametrize(
    ("seconds", "interval_s"), [(1, 2), (1440, 2), (1441, 5), (3600, 5), (6 * 3600, 30), (48 * 3600, 120)]
)
def test_long_sources_are_looked_at_less_often(seconds: int, interval_s: int) -> None:
    video = {"start": 0, "end": seconds * 90_000, "timescale": 90_000}
    assert frames_plan.interval_s(video) == interval_s


class TestFramesKept:
    """The tap: a change as small as a subtitle is noticed, noise is not."""

    def test_a_word_that_changes_is_a_change_and_noise_is_none(self) -> None:
        before, after = page("navy", ("Gate 27", 60, 240), size=20), page("navy", ("Gate 28", 60, 240), size=20)
        grey = [np.asarray(Image.fromarray(each).convert("L")).astype(np.int16) for each in (before, after)]
        assert changed_share(grey[0], grey[1]) > 0
        assert changed_share(grey[0], grey[0]) == 0
        grain = np.random.default_rng(1).normal(0, 6, grey[0].shape).astype(np.int16)
        assert changed_share(grey[0], np.clip(grey[0] + grain, 0, 255).astype(np.int16)) == 0

    def test_what_moves_is_kept_at_every_look(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "moving.mp4", frames=200, width=480, height=270)
        info = clip_info(path, target_s=2)
        made = make_products(path, tmp_path / "made", info, frames_plan.plan(info, {}))
        ticks = [frame["ticks"] for item in made.values() for frame in item.facts["kept"]]
        timescale = info["video"]["timescale"]
        assert {0, 2 * timescale, 4 * timescale, 6 * timescale} <= set(ticks)

    def test_frames_are_kept_half_a_second_apart_at_least(self, tmp_path: Path) -> None:
        """A cut a sixth of a second after a kept frame waits for the next look."""
        path = film(tmp_path / "cut.mkv", [page("navy")] * 4 + [page("white")] * 60)
        seen = [Fraction(frame.ticks or 0, 90_000) for frame in frames_of(task_of(path, tmp_path, target_s=6), 1920)]
        assert seen == [0, 2]

    def test_a_cut_between_looks_is_seen(self, tmp_path: Path) -> None:
        path = film(tmp_path / "cut.mkv", [page("navy")] * 20 + [page("white")] * 15 + [page("darkred")] * 15)
        task = task_of(path, tmp_path, target_s=6)
        seen = [Fraction(frame.ticks or 0, 90_000) for frame in frames_of(task, 1920)]
        assert seen == [0, Fraction(1), Fraction(8, 5)]


@pytest.mark.parametrize(
    ("size", "shown"), [((800, 566), (800, 566)), ((5117, 3411), (1920, 1280)), ((9, 9000), (2, 1920))]
)
def test_a_still_is_shown_no_larger_than_it_is_looked_at(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert still_size({"width": size[0], "height": size[1]}, 1920) == shown
