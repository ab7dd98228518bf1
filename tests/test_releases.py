"""Releases are read, checked in sentences that say what to change, and say whether they can be had and what else."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from processing.asking import AskTask
from processing.recipe import canonical
from processing.words import summary_plan
from processing.words.embedded import extracting_plan
from processing.work import is_operation, resolve
from resources.gateway.limits import Limits
from resources.releases import prices
from resources.releases.registry import DEFAULTS, FOLDER, Registry, Status, read_registry
from resources.releases.release import ReleaseError, release_from

TODAY = dt.date(2026, 11, 27)
OWN_SERVER = {
    "id": "our-llama",
    "version": "2.1.0",
    "task": "writing",
    "provider": "openai_http",
    "model": "llama",
    "languages": ["en", "de"],
    "base_url": "http://127.0.0.1:8000/v1",
    "key_env": "",
    "price": {},
}


def status_of(registry: Registry, id_: str, today: dt.date = TODAY, **environment: str) -> Status:
    (found,) = [status for status in registry.statuses(today, environment) if status.id == id_]
    return found


def whisper(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "id": "whisper-small",
        "version": "1.0.0",
        "task": "speech",
        "provider": "whisper_local",
        "model": "Systran/faster-whisper-small",
        "languages": ["*"],
        "directory": str(folder),
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "module": "json",  # one that is always there
        **more,
    }


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    for name, content in (
        ("model.bin", b"weights"),
        ("config.json", b"{}"),
        ("tokenizer.json", b"{}"),
        ("vocabulary.txt", b"a"),
    ):
        (folder / name).write_bytes(content)
    return folder


class TestThePackage:
    def test_every_task_of_the_default_graph_has_a_release_that_needs_nothing(self) -> None:
        registry = read_registry()
        for task in DEFAULTS:
            (release,) = registry.used(task)
            status = status_of(registry, release.id)
            assert release.provider == "embedded"
            assert (status.configured, status.place, status.available) == (True, 0, True)
            assert is_operation(str(release.settings["operation"]))
            assert callable(resolve(str(release.settings["operation"])))

    def test_the_identity_of_an_embedded_release_is_that_of_its_model(self) -> None:
        identity = read_registry().used(AskTask.WRITING)[0].identity
        assert {name: identity[name] for name in ("id", "version", "sha256")} == {
            name: extracting_plan.model()[name] for name in ("id", "version", "sha256")
        }

    def test_identities_and_prompts_are_what_operations_take(self) -> None:
        registry = read_registry()
        models = {"writing": registry.used(AskTask.WRITING)[0].identity}
        options = {"models": models, "prompts": registry.prompt_identities()}
        info = {"kind": "audio", "audio": [{}], "duration": {"ticks": 1, "timescale": 1}}
        assert summary_plan.applies(info, options) is None
        told = summary_plan.parameters(info, options)
        canonical(told)  # a recipe can hold it
        for prompt in told["prompts"].values():
            assert hashlib.sha256(prompt["text"].encode()).hexdigest() == prompt["sha256"]

    def test_no_release_of_it_can_change_without_a_new_digest(self) -> None:
        for path in sorted((FOLDER / "models").glob("*.toml")):
            text = path.read_text()
            assert 'provider = "embedded"' in text or 'sha256 = "' in text, path.name

    def test_every_release_is_told_as_json(self) -> None:
        for status in read_registry().statuses(TODAY, {}):
            told = json.loads(json.dumps(status.to_json()))
            assert told["available"] or (told["why_not"] and told["fix"])


class TestAdded:
    def test_a_release_of_the_settings_is_used_before_others(self) -> None:
        registry = read_registry([OWN_SERVER], {"writing": ["our-llama", "extractive"]})
        assert [release.id for release in registry.used(AskTask.WRITING)] == ["our-llama", "extractive"]
        assert [status_of(registry, name).place for name in ("our-llama", "extractive")] == [0, 1]
        assert [release.id for release in registry.used(AskTask.SPEECH)] == ["pocketsphinx-en-us"]

    def test_a_table_of_places_completes_a_release_and_changes_no_identity(self) -> None:
        plain = read_registry()
        moved = read_registry([{"id": "bedrock-nova-lite", "region": "eu-central-1", "timeout_s": 9}])
        (one, other) = (registry.releases["bedrock-nova-lite@1.0.0"] for registry in (plain, moved))
        assert (one.settings["region"], other.settings["region"]) == ("us-east-1", "eu-central-1")
        assert other.timeout_s == 9
        assert one.identity == other.identity

    def test_what_shapes_answers_is_part_of_the_identity(self) -> None:
        one, warm = (release_from({**OWN_SERVER, **more}, "x") for more in ({}, {"options": {"temperature": 1}}))
        assert one.sha256 != warm.sha256
        elsewhere = release_from({**OWN_SERVER, "base_url": "http://127.0.0.1:9/v1"}, "x")
        assert one.sha256 == elsewhere.sha256

    def test_limits_and_dependency_are_the_gateways(self) -> None:
        release = release_from({**OWN_SERVER, "limits": {"requests_a_minute": 60, "shares": [1, 0.8, 0.5]}}, "x")
        assert release.limits == Limits(requests_a_minute=60, shares=(1, 0.8, 0.5))
        assert release.dependency == "openai_http/llama"
        assert read_registry().used(AskTask.WRITING)[0].limits is None

    def test_two_versions_are_told_apart_by_name(self) -> None:
        both = [OWN_SERVER, {**OWN_SERVER, "version": "2.2.0"}]
        assert read_registry(both, {"writing": ["our-llama@2.2.0"]}).used(AskTask.WRITING)[0].version == "2.2.0"
        with pytest.raises(ReleaseError, match=r"has versions 2\.1\.0, 2\.2\.0; name one, as our-llama@2\.2\.0"):
            read_registry(both, {"writing": ["our-llama"]})

    def test_a_prompt_of_the_settings_takes_the_place_of_the_packages(self) -> None:
        text = "Sum it up.\n"
        table = {"id": "summary_part", "version": "9.0.0", "task": "writing", "text": text}
        table["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        assert read_registry(added_prompts=[table]).prompt_identities()["summary_part"]["version"] == "9.0.0"
        with pytest.raises(ReleaseError, match=r"raise version and set sha256 to [0-9a-f]{64}"):
            read_registry(added_prompts=[{**table, "text": "Sum it down."}])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modle": "x"}, "'modle' is no field of it; use 'model'"),
        ({"colour": "x"}, "'colour' is no field of it; leave it out"),
        ({"base_url": None}, "base_url is missing; set it"),
        ({"provider": "openai"}, "provider is 'openai'; set it to one of aws, embedded, openai_http, whisper_local"),
        ({"task": "painting"}, "task is 'painting'; set it to one of speech"),
        ({"id": "Our Llama"}, "id is 'Our Llama'; write it letters, digits"),
        ({"version": "2"}, "version is '2'; write it of the form 1.0.0"),
        ({"languages": []}, "languages is []; list tags"),
        ({"languages": ["English"]}, "list tags such as"),
        ({"retires": "soon"}, "retires is 'soon'; write the day as 2027-03-31"),
        ({"sha256": "0" * 64}, "it is not what was released; raise version and set sha256 to"),
        ({"sha256": "abc"}, "write 64 hexadecimal digits"),
        ({"timeout_s": -1}, "timeout_s is -1; set it to seconds"),
        ({"limits": {"requests_a_minute": 0}}, "limits cannot be used; requests_a_minute must be positive"),
        ({"limits": {"request_a_minute": 9}}, "request_a_minute is no limit, and may be one of"),
        ({"price": None}, "what llama costs is not in the price list; set price"),
        ({"price": {"million_tokens_usd": 1}}, "price cannot be used; set numbers of USD for million_tokens_in_usd"),
        ({"price": {"call_usd": -1}}, "price cannot be used"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_what_to_change(change: dict[str, Any], sentence: str) -> None:
    table = {name: value for name, value in {**OWN_SERVER, **change}.items() if value is not None}
    with pytest.raises(ReleaseError) as caught:
        read_registry([table])
    assert str(caught.value).startswith("models[0]: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("added", "chosen", "sentence"),
    [
        (
            [],
            {"writing": ["gpt-9"]},
            "writing: 'gpt-9' is no release for writing; name one of bedrock-nova-l",
        ),
        ([], {"speech": ["extractive"]}, "'extractive' is no release for speech; name one of openai-whisper-1, "),
        ([], {"singing": ["x"]}, "singing: there is no such task; name one of speech"),
        ([{"id": "nobody", "region": "x"}], {}, "models[0]: there is no release 'nobody' to complete; name one of"),
        ([OWN_SERVER, OWN_SERVER], {}, "models[1]: there is a release our-llama@2.1.0 already; raise its version"),
    ],
)
def test_a_choice_that_leads_nowhere_is_refused(added: Any, chosen: Any, sentence: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        read_registry(added, chosen)
    assert sentence in str(caught.value)


class TestAvailability:
    def test_a_key_is_looked_for_in_the_environment(self) -> None:
        registry = read_registry()
        without = status_of(registry, "openai-gpt-4o-mini")
        assert (without.available, without.why_not) == (False, "the environment variable OPENAI_API_KEY is not set")
        assert without.fix == "export OPENAI_API_KEY=..."
        assert status_of(registry, "openai-gpt-4o-mini", OPENAI_API_KEY="sk-x").available
        assert status_of(read_registry([OWN_SERVER]), "our-llama").available  # it wants no key

    def test_credentials_of_aws_are_looked_for_where_the_sdk_does(self, tmp_path: Path) -> None:
        registry = read_registry()
        assert status_of(registry, "bedrock-nova-lite").fix == "export AWS_PROFILE=..."
        assert status_of(registry, "bedrock-nova-lite", AWS_PROFILE="media").available
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").touch()
        assert status_of(registry, "bedrock-nova-lite", HOME=str(tmp_path)).available
        by_role = read_registry([{"id": "bedrock-nova-lite", "key_env": ""}])
        assert status_of(by_role, "bedrock-nova-lite").available
        nowhere = read_registry([{"id": "bedrock-nova-lite", "region": ""}])
        assert "set region" in status_of(nowhere, "bedrock-nova-lite", AWS_PROFILE="media").fix

    def test_a_whole_folder_of_a_model_is_available(self, tmp_path: Path) -> None:
        status = status_of(read_registry([whisper(model_folder(tmp_path / "m"))]), "whisper-small")
        assert (status.available, status.why_not, status.fix) == (True, "", "")

    def test_options_of_a_local_model_are_part_of_its_identity(self, tmp_path: Path) -> None:
        told = (
            {},
            {"options": {"beam_size": 1}},
            {"compute_type": "int8"},
            {"threads": 2},
            {"directory": "/elsewhere"},
        )
        one, beam, small, threads, moved = (release_from(whisper(tmp_path, **more), "x").identity for more in told)
        assert len({json.dumps(each, sort_keys=True) for each in (one, beam, small)}) == 3
        assert one == threads == moved
        assert one["sha256"] == beam["sha256"]

    def test_a_missing_extra_is_named_with_its_command(self, tmp_path: Path) -> None:
        table = whisper(model_folder(tmp_path / "m"), module="no_such_module_here")
        status = status_of(read_registry([table]), "whisper-small")
        assert status.why_not == "the extra whisper is not installed"
        assert status.fix == "pip install 'sourcebound[whisper]'"

    def test_a_missing_folder_and_missing_files_are_named_with_their_command(self, tmp_path: Path) -> None:
        status = status_of(read_registry([whisper(tmp_path / "none")]), "whisper-small")
        assert status.why_not == f"there is no folder {tmp_path}/none"
        assert status.fix == f"hf download Systran/faster-whisper-small --local-dir {tmp_path}/none"
        assert "no folder" in status_of(read_registry([whisper(Path()) | {"directory": ""}]), "whisper-small").why_not
        folder = model_folder(tmp_path / "m")
        lacking: list[str] = []
        for name, told in (
            ("model.bin", "model.bin"),
            ("config.json", "config.json"),
            ("tokenizer.json", "tokenizer.json"),
            ("vocabulary.txt", "vocabulary.json"),
        ):
            (folder / name).unlink()
            lacking.append(told)
            status = status_of(read_registry([whisper(folder)]), "whisper-small")
            assert status.why_not == f"{folder} lacks {', '.join(lacking)}"
            assert status.fix.endswith("--force-download")

    def test_a_damaged_model_is_seen_and_seen_again_when_it_was_mended(self, tmp_path: Path) -> None:
        folder = model_folder(tmp_path / "m")
        registry = read_registry([whisper(folder)])
        (folder / "model.bin").write_bytes(b"weightz!")
        status = status_of(registry, "whisper-small")
        assert "is damaged or another one: its sha256 is" in status.why_not
        assert status.fix.endswith("--force-download")
        (folder / "model.bin").write_bytes(b"weights")
        assert status_of(registry, "whisper-small").available

    def test_a_folder_of_a_model_must_say_its_digest(self, tmp_path: Path) -> None:
        table = whisper(tmp_path)
        del table["sha256"]
        with pytest.raises(ReleaseError, match=r"set it to what `sha256sum model\.bin` prints"):
            read_registry([table])

    def test_retirement_is_told_sixty_days_ahead_and_then_ends_it(self) -> None:
        registry = read_registry([{**OWN_SERVER, "retires": dt.date(2027, 1, 26)}])
        for day, warning in ((dt.date(2026, 11, 26), ""), (TODAY, "it is retired on 2027-01-26, in 60 days")):
            status = status_of(registry, "our-llama", day)
            assert (status.available, status.warning) == (True, warning)
        last = status_of(registry, "our-llama", dt.date(2027, 1, 25))
        assert last.warning == "it is retired on 2027-01-26, in 1 day"
        over = status_of(registry, "our-llama", dt.date(2027, 1, 26))
        assert (over.available, over.why_not) == (False, "it was retired on 2027-01-26")


def test_a_missing_embedded_model_is_a_status_and_not_the_end_of_everything(tmp_path: Path) -> None:
    """An installation that lost a wheel's files must still say so, and do what it can."""
    (tmp_path / "models").mkdir()
    (tmp_path / "prompts").mkdir()
    for path in (FOLDER / "models").glob("*.toml"):
        text = path.read_text()
        if path.stem == "pocketsphinx-en-us":
            text = text.replace("listening_plan:model", "nobodys_plan:model")
        (tmp_path / "models" / path.name).write_text(text)
    registry = read_registry(folder=tmp_path)
    status = status_of(registry, "pocketsphinx-en-us")
    assert (status.configured, status.available, status.fix) == (True, False, "make setup")
    assert "nobodys_plan" in status.why_not
    assert registry.used(AskTask.SPEECH) == ()
    assert registry.used(AskTask.WRITING)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.toml").write_text("id = ")
    with pytest.raises(ReleaseError, match=r"broken\.toml is no TOML"):
        read_registry(folder=tmp_path)


class TestPrices:
    def test_the_list_says_when_and_where_each_price_was_read(self) -> None:
        found = prices.price_list()
        assert len(found.sha256) == 64
        assert found.listed["gpt-4o-mini"].source
        assert all(each.read_on <= found.dated and each.source for each in found.listed.values())

    def test_a_changed_price_without_a_new_digest_is_refused(self) -> None:
        text = prices.FILE.read_text()
        with pytest.raises(prices.PricesError, match=r"set sha256 to [0-9a-f]{64}"):
            prices.read_prices(text.replace("0.15", "0.14", 1))

    def test_a_call_costs_tokens_minutes_and_itself(self) -> None:
        price = prices.Price(million_tokens_in_usd=0.5, million_tokens_out_usd=2.0, minute_usd=0.006, call_usd=0.001)
        assert price.cost_usd(1_000_000, 500_000, 120) == pytest.approx(0.5 + 1.0 + 0.012 + 0.001)
        assert price.cost_usd(0, 0, 0, requests=3) == pytest.approx(0.003)

    def test_releases_of_the_house_cost_nothing_and_others_what_the_list_says(self) -> None:
        registry = read_registry()
        assert registry.used(AskTask.SPEECH)[0].cost_usd(0, 0, 3600) == 0
        assert registry.releases["openai-whisper-1@1.0.0"].cost_usd(0, 0, 600) == pytest.approx(0.06)
        assert registry.releases["bedrock-nova-lite@1.0.0"].cost_usd(1e6, 1e6, 0) == pytest.approx(0.30)
