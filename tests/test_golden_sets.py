"""The golden sets are whole, licensed and small; scores count errors; a comparison says no more than items show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.golden_scores import answered, of_captions, of_item, scored
from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.failures import ContractBroken
from processing.probe.opening import open_media
from processing.webvtt import Cue
from processing.words import examined, labels, screen_text
from processing.work import Task
from resources.releases import compare, golden_sets, scoring
from resources.releases.compare import NotComparable, Verdict
from resources.releases.golden_sets import FOLDER, LICENCES, TASKS, GoldenError, Item, ask_of, golden_set
from resources.releases.registry import read_registry
from resources.releases.trial import Here, Trial, summarised
from tests.asking_trial import answer
from tests.summaries import MODEL, PROMPTS, Author

RELEASE = {"id": "a-model", "version": "1.0.0", "sha256": "a" * 64}


def item_of(task: str, name: str) -> Item:
    return next(item for item in golden_set(task).items if item.id == f"{task}/{name}")


class TestSets:
    @pytest.mark.parametrize("task", TASKS)
    def test_every_task_has_thirty_items_with_licence_and_origin(self, task: str) -> None:
        golden = golden_set(task)
        assert len(golden.items) >= 30
        assert all(item.licence and item.origin for item in golden.items)
        assert (
            len({item.id for item in golden.items}) == len({item.sha256 for item in golden.items}) == len(golden.items)
        )

    def test_all_of_it_stays_small(self) -> None:
        assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12_000_000

    def test_no_file_lies_there_that_the_manifest_does_not_name(self) -> None:
        named = {item.path for task in TASKS for item in golden_set(task).items}
        assert {path for task in TASKS for path in (FOLDER / task).iterdir()} == named

    def test_what_comes_from_elsewhere_has_its_licence_beside_it(self) -> None:
        texts = {path.name.partition("__")[0].replace("+", "/") for path in (FOLDER / LICENCES).iterdir()}
        origins = {item.origin.split(" at ")[0] for task in TASKS for item in golden_set(task).items}
        assert {origin for origin in origins if "/" in origin and " " not in origin} <= texts

    def test_sound_is_as_recognisers_take_it(self) -> None:
        for item in golden_set("speech").items:
            with open_media(item.path) as container:
                (stream,) = container.streams.audio
                assert (stream.sample_rate, stream.channels, stream.codec_context.name) == (16_000, 1, "flac")
            assert 0.5 < item.media_s < 12

    def test_some_items_hold_nothing_to_be_found(self) -> None:
        for task in ("speech", "reading"):
            assert sum(not item.truth for item in golden_set(task).items) >= 3

    def test_a_changed_item_is_noticed(self, tmp_path: Path) -> None:
        shutil.copytree(FOLDER, tmp_path / "golden")
        file = tmp_path / "golden" / "reading" / "drawn-00.png"
        file.write_bytes(file.read_bytes() + b"\0")
        with pytest.raises(GoldenError, match="reading/drawn-00 is not what was released"):
            golden_set("reading", tmp_path / "golden")
        file.unlink()
        with pytest.raises(GoldenError, match="reading/drawn-00 is missing"):
            golden_set("reading", tmp_path / "golden")
        assert golden_set("speech", tmp_path / "golden").digest == golden_set("speech").digest

    def test_fewer_items_or_no_licence_are_refused(self, tmp_path: Path) -> None:
        manifest = json.loads((FOLDER / golden_sets.MANIFEST).read_text())
        shutil.copytree(FOLDER, tmp_path / "golden")
        manifest["items"][0]["licence"] = ""
        manifest["items"] = [entry for entry in manifest["items"] if entry["task"] != "captions"]
        (tmp_path / "golden" / golden_sets.MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(GoldenError, match="has no licence"):
            golden_set("speech", tmp_path / "golden")
        with pytest.raises(GoldenError, match="has 0 items, fewer than 30"):
            golden_set("captions", tmp_path / "golden")
        with pytest.raises(GoldenError, match="there is no golden set 'singing'"):
            golden_set("singing")

    def test_an_item_is_the_ask_an_operation_would_make(self, tmp_path: Path) -> None:
        item = item_of("speech", "cards-005")
        ask = ask_of(item, tmp_path, PROMPTS)
        assert (ask.task, ask.parameters["language"], ask.media_s) == (AskTask.SPEECH, "en", item.media_s)
        assert (tmp_path / ask.payload["audio.flac"]).read_bytes() == item.path.read_bytes()

    @pytest.mark.parametrize("task", ["reading", "labels"])
    def test_a_model_that_sees_is_told_what_to_do_as_for_a_source(self, tmp_path: Path, task: str) -> None:
        item = golden_set(task).items[0]
        ask = ask_of(item, tmp_path, {})
        questions = {"reading": screen_text.QUESTIONS, "labels": labels.QUESTIONS}[task]
        assert ask.parameters["prompt"]["text"]
        assert ask.parameters["schema"] == questions.schema
        assert ask.most_tokens == questions.most_tokens
        assert (tmp_path / ask.payload["picture.png"]).read_bytes() == item.path.read_bytes()

    def test_which_text_is_near_is_not_told_with_the_texts(self, tmp_path: Path) -> None:
        item = golden_set("vectors").items[0]
        ask = ask_of(item, tmp_path, {})
        assert json.loads((tmp_path / ask.payload["texts.json"]).read_text()) == {"texts": item.document()["texts"]}


class TestScores:
    def test_words_are_compared_as_they_are_said(self) -> None:
        item = item_of("speech", "cards-005")
        assert item.truth == "eight of spades four of clubs seven of hearts"

        def errors(heard: str) -> tuple[str, float, float]:
            (score,) = scoring.speech_scores(item, heard)
            return score.measure, score.errors, score.total

        assert errors("Eight of Spades, 4 of Clubs, 7 of Hearts.") == ("word_errors", 0, 9)
        assert errors("eight of spades four of clubs") == ("word_errors", 3, 9)
        assert errors("eight of spades or for of clubs seven of hearts") == ("word_errors", 2, 9)
        assert errors("") == ("word_errors", 9, 9)

    def test_what_is_heard_in_silence_is_invented(self) -> None:
        (score,) = scoring.speech_scores(item_of("speech", "silence"), "thanks for watching")
        assert (score.measure, score.errors, score.total) == ("invented_words", 3, 1)
        (quiet,) = scoring.speech_scores(item_of("speech", "silence"), "")
        assert quiet.errors == 0

    def test_characters_are_compared_as_they_are_shown(self) -> None:
        item = item_of("reading", "issue-170")
        assert [scoring.reading_scores(item, text)[0].errors for text in ("TEST", "TES", "Test", "")] == [0, 1, 3, 4]
        (score,) = scoring.reading_scores(item_of("reading", "img-exif-orientation"), "我 是 中国 人")
        assert (score.errors, score.total) == (0, 5)
        (invented,) = scoring.reading_scores(item_of("reading", "empty-black"), "ghost")
        assert (invented.measure, invented.errors) == ("invented_characters", 5)

    def test_labels_are_counted_by_things_people_and_alarms(self) -> None:
        bird = item_of("labels", "big-buck-bunny-0-30-18")

        def errors(*names: str, faces: bool = False, moderation: int | None = 0) -> dict[str, float]:
            seen = {"names": names, "faces": faces, "moderation": moderation}
            return {score.measure: score.errors for score in scoring.labels_scores(bird, seen)}

        assert errors("Birds", "Tree Trunk") == {"missed_things": 0, "invented_people": 0, "false_alarms": 0}
        assert errors("Blackbirding", "Man", moderation=2) == {
            "missed_things": 2,
            "invented_people": 1,
            "false_alarms": 2,
        }
        assert errors("bird", "branch", faces=True, moderation=None) == {"missed_things": 0, "invented_people": 1}
        nothing = {score.measure: score.errors for score in scoring.labels_scores(bird, None)}
        assert nothing == {"missed_things": 2, "invented_people": 1}
        man = item_of("labels", "sample-0-5")
        seen = {"names": ["Man"], "faces": True, "moderation": None}
        assert [(each.measure, each.errors) for each in scoring.labels_scores(man, seen)] == [("missed_things", 1)]

    def test_vectors_are_counted_by_the_order_of_texts(self, tmp_path: Path) -> None:
        item = golden_set("vectors").items[3]
        near, count = item.document()["near"], len(item.document()["texts"])

        def nearer(*spoiled: int) -> int:
            vectors = [[0.0, 1.0] if number not in (0, near, *spoiled) else [1.0, 0.1] for number in range(count)]
            data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
            body = json.dumps({"object": "list", "data": data}).encode()
            given = answer(tmp_path / f"of-{len(spoiled)}", body, "openai.embeddings.v1")
            found = examined.make(Task("", item.told(), tmp_path, inputs={"answer": given})).facts["found"]
            assert isinstance(found, int)
            return found

        others = [number for number in range(1, count) if number != near]
        assert [nearer(*others[:spoiled]) for spoiled in range(3)] == [0, 1, 2]
        assert [(each.errors, each.total) for each in scoring.vectors_scores(item, 2)] == [(2, 6)]
        assert [(each.errors, each.total) for each in scoring.vectors_scores(item, None)] == [(6, 6)]

    def test_a_summary_that_failed_has_every_error(self) -> None:
        scores = scoring.writing_scores(item_of("writing", "written-00"), None)
        assert all(score.errors == score.total > 0 for score in scores)

    def test_a_summary_of_what_matters_has_none(self) -> None:
        item = item_of("writing", "written-00")
        truth = item.document()
        segments = truth["transcript"]["tracks"][0]["segments"]
        abstract = [
            {"text": each["text"], "cites": [{"sentence": number}]}
            for number, each in enumerate(truth["sentences"])
            if each["matters"]
        ]
        chapters = [{"start": segments[number]["start"]} for number in truth["breaks"]]
        scores = scoring.writing_scores(item, {"abstract": abstract, "chapters": chapters})
        assert {score.measure: score.errors for score in scores} == dict.fromkeys(
            ("unfaithful_words", "idle_sentences", "untold_topics", "missed_breaks", "false_breaks"), 0
        )
        spoiled = {
            "abstract": [{"text": "Nobody said anything about telescopes.", "cites": [{"sentence": 1}]}],
            "chapters": [{"start": 0}, {"start": segments[9]["start"]}],
        }
        by_measure = {score.measure: (score.errors, score.total) for score in scoring.writing_scores(item, spoiled)}
        assert by_measure["unfaithful_words"] == (3, 3)
        assert by_measure["idle_sentences"] == (1, 1)
        assert by_measure["untold_topics"] == (2, 3)
        assert by_measure["missed_breaks"] == (2, 2)
        assert by_measure["false_breaks"] == (1, 1)

    def test_captions_are_counted_by_rules_and_words(self) -> None:
        item = item_of("captions", "captioned-00")
        rules = item.document()["rules"]
        assert scoring.broken_rules(Cue(0, 2000, "The ferry to the islands"), rules) == []
        assert scoring.broken_rules(Cue(0, 500, "a\nb\nc"), rules) == ["lines", "least_ms"]
        assert scoring.broken_rules(Cue(0, 8000, "x" * 43), rules) == ["line_characters", "most_ms"]
        assert scoring.broken_rules(Cue(0, 1000, "twenty-one characters"), rules) == ["characters_a_s"]
        broken, lost = scoring.captions_scores(item, [Cue(0, 2000, "The ferry"), Cue(1500, 3500, "to the islands")])
        assert broken.errors == 1  # they overlap
        assert lost.errors == lost.total - 5

    def test_scores_become_a_table_that_is_kept(self, tmp_path: Path) -> None:
        golden = golden_set("speech")
        scores = [score for item in golden.items for score in scoring.speech_scores(item, item.truth)]
        table = scoring.table(scores, golden, RELEASE)
        assert len(table) == len(golden.items)
        assert set(table["release"]) == {"a-model"}
        assert set(table["golden"]) == {golden.digest}
        path = scoring.keep(table, tmp_path / "scores", "a-model")
        pd.testing.assert_frame_equal(scoring.kept(path), table, check_dtype=False)
        sums = scoring.summed(table).set_index("measure")
        assert sums.loc["word_errors", "share"] == 0
        assert sums.loc["word_errors", "items"] == sum(bool(item.truth) for item in golden.items)


def table_of(errors: Mapping[str, float], *, total: float = 10, measure: str = "word_errors", **basis: str) -> Any:
    scores = [scoring.Score(item, "en", measure, value, total) for item, value in errors.items()]
    golden = golden_sets.GoldenSet("speech", "1.0.0", basis.get("golden", "g"), ())
    return scoring.table(scores, golden, RELEASE)


class TestCompare:
    def test_fewer_errors_on_every_item_are_better_and_more_worse(self) -> None:
        many = {f"i{n}": 5.0 for n in range(30)}
        few = {name: 2.0 + n % 2 for n, name in enumerate(many)}
        (better,) = compare.compare(table_of(many), table_of(few))
        assert better.verdict is Verdict.BETTER
        assert better.difference == pytest.approx(-0.25)
        assert better.low <= better.difference <= better.high < 0
        (worse,) = compare.compare(table_of(few), table_of(many))
        assert worse.verdict is Verdict.WORSE
        assert worse.low == pytest.approx(-better.high)

    def test_a_release_against_itself_is_undecided(self) -> None:
        errors = {f"i{n}": float(n % 4) for n in range(30)}
        (same,) = compare.compare(table_of(errors), table_of(errors))
        assert (same.verdict, same.difference, same.low, same.high) == (Verdict.UNDECIDED, 0, 0, 0)

    def test_one_item_that_is_much_better_decides_nothing(self) -> None:
        errors = {f"i{n}": 3.0 for n in range(30)}
        lucky = {**errors, "i0": 0.0}
        (found,) = compare.compare(table_of(errors), table_of(lucky))
        assert found.difference < 0
        assert found.verdict is Verdict.UNDECIDED
        assert "word_errors: undecided; 0.300 and 0.290" in found.sentence

    def test_the_same_tables_give_the_same_interval(self) -> None:
        dice = np.random.default_rng(1)
        one = {f"i{n}": float(dice.integers(0, 9)) for n in range(30)}
        other = {f"i{n}": float(dice.integers(0, 9)) for n in range(30)}
        assert compare.compare(table_of(one), table_of(other)) == compare.compare(table_of(one), table_of(other))
        shuffled = table_of(dict(reversed(other.items())))
        assert compare.compare(table_of(one), shuffled) == compare.compare(table_of(one), table_of(other))

    def test_noise_is_seldom_called_a_difference(self) -> None:
        """Of 100 pairs that differ by chance alone, about one in twenty may be decided."""
        dice = np.random.default_rng(5)
        decided = 0
        for _ in range(100):
            pair = [{f"i{n}": float(each) for n, each in enumerate(dice.poisson(3, 30))} for _ in range(2)]
            (found,) = compare.compare(*map(table_of, pair), rounds=200)
            decided += found.verdict is not Verdict.UNDECIDED
        assert decided <= 14

    def test_tables_of_another_basis_or_other_items_are_not_compared(self) -> None:
        errors = {f"i{n}": 1.0 for n in range(30)}
        with pytest.raises(NotComparable, match="golden a and b"):
            compare.compare(table_of(errors, golden="a"), table_of(errors, golden="b"))
        with pytest.raises(NotComparable, match="not scored on the same items"):
            compare.compare(table_of(errors), table_of({"i0": 1.0}))

    @settings(deadline=None, max_examples=20)
    @given(st.lists(st.integers(0, 10), min_size=5, max_size=40), st.integers(0, 3))
    def test_the_interval_holds_the_difference_of_a_constant_gain(self, errors: list[int], gain: int) -> None:
        one = {f"i{n}": float(value + gain) for n, value in enumerate(errors)}
        other = {f"i{n}": float(value) for n, value in enumerate(errors)}
        (found,) = compare.compare(table_of(one), table_of(other), rounds=200)
        assert found.low == pytest.approx(found.high) == pytest.approx(-gain / 10)


class TestEmbedded:
    """The models of this installation do what the golden sets are for."""

    def test_the_extractive_model_tells_every_topic_of_most_items(self, tmp_path: Path) -> None:
        sums = scoring.summed(scored(golden_set("writing"), tmp_path)).set_index("measure")["share"]
        assert sums["unfaithful_words"] == 0
        assert sums["untold_topics"] <= 0.1
        assert sums["missed_breaks"] <= 0.2
        assert sums["idle_sentences"] <= 0.45  # chance alone would give 0.67

    @pytest.mark.slow
    def test_the_embedded_recogniser_and_reader_are_scored(self, tmp_path: Path) -> None:
        registry = read_registry()
        (recogniser,), (reader,) = registry.used(AskTask.SPEECH), registry.used(AskTask.READING)
        (heard,) = of_item(recogniser, item_of("speech", "cards-005"), tmp_path / "speech")
        assert heard.errors / heard.total <= 0.5
        (read,) = of_item(reader, item_of("reading", "drawn-03"), tmp_path / "reading")
        assert read.errors / read.total <= 0.2

    def test_captions_lose_no_word(self) -> None:
        for item in golden_set("captions").items[:6]:
            assert {score.measure: score.errors for score in of_captions(item)}["lost_words"] == 0

    def test_a_release_that_says_nothing_is_worse_than_the_embedded_one(self, tmp_path: Path) -> None:
        golden = golden_set("writing")
        (release,) = read_registry().used(AskTask.WRITING)
        good, bad = [], []
        for item in golden.items[:10]:
            good += of_item(release, item, tmp_path / item.id)
            bad += scoring.writing_scores(item, None)
        found = compare.compare(scoring.table(good, golden, RELEASE), scoring.table(bad, golden, RELEASE))
        assert {each.verdict for each in found} == {Verdict.WORSE}


class TestTrial:
    def test_a_summary_that_its_contract_refuses_is_not_kept(self, tmp_path: Path) -> None:
        def invent(name: str, value: dict[str, Any]) -> Any:
            for item in value.get("items", ()):
                item["supported"] = True
            for claim in value.get("abstract", ()):
                claim["text"] += " So says Napoleon."
            return value

        trial = self.trial(tmp_path, Author(invent))
        assert trial.document is not None
        assert not trial.is_kept
        assert self.trial(tmp_path / "good", Author()).is_kept

    def test_a_failure_is_the_trials_result(self, tmp_path: Path) -> None:
        trial = self.trial(tmp_path, Author(lambda name, value: "no JSON"))
        assert trial.document is None
        assert "wrong form" in trial.why

    def trial(self, folder: Path, author: Author) -> Trial:
        class Asked(Here):
            def answer(self, ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]:
                return author(ask, json.loads(files["material.json"].read_text(encoding="utf-8")))

        return summarised(item_of("writing", "written-00"), MODEL, PROMPTS, folder, Asked())

    def test_an_answer_of_the_house_is_asked_as_the_provider_would(self, tmp_path: Path) -> None:
        (release,) = read_registry().used(AskTask.WRITING)
        (tmp_path / "ask").mkdir()
        (tmp_path / "ask" / "material.json").write_text('{"step": "paint"}')
        ask = Ask("writing/part/0000", AskTask.WRITING)
        with pytest.raises(ContractBroken, match="paint"):
            answered(release, ask, {"material.json": tmp_path / "ask" / "material.json"}, tmp_path / "work")
        assert not (tmp_path / "work" / "out" / ANSWER_FILE).exists()
