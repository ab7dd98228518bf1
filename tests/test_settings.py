"""What may be set, how, and how a wrong value is refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processing.picture import ladder_plan
from resources.settings import RUNGS, FolderRule, Settings, SettingsError, load_settings, settings_page

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("SOURCEBOUND_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_a_word_everything_lies_in_the_current_folder(tmp_path):
    settings = load_settings()
    assert settings.home == tmp_path / ".sourcebound"
    assert settings.inbox == tmp_path / "inbox"
    assert settings.store_location == str(tmp_path / ".sourcebound" / "store")
    assert (settings.port, settings.database_url, settings.permits) == (3000, None, None)


def test_the_environment_wins_over_the_file_and_a_call_over_both(tmp_path, monkeypatch):
    (tmp_path / "sourcebound.toml").write_text('port = 4000\nrun_slots = 3\npreset = "fast"\n')
    monkeypatch.setenv("SOURCEBOUND_PORT", "5000")
    monkeypatch.setenv("SOURCEBOUND_PRESET", "medium")
    settings = load_settings(preset="slow", workers=None)
    assert (settings.run_slots, settings.port, settings.preset, settings.workers) == (3, 5000, "slow", None)


def test_paths_in_the_file_are_taken_from_its_folder(tmp_path, monkeypatch):
    elsewhere = tmp_path / "ä configuration"
    elsewhere.mkdir()
    (elsewhere / "mine.toml").write_text('home = "../state"\n')
    monkeypatch.setenv("SOURCEBOUND_CONFIG", str(elsewhere / "mine.toml"))
    monkeypatch.setenv("SOURCEBOUND_INBOX", "drop/here")
    settings = load_settings()
    assert settings.home == tmp_path / "state"
    assert settings.inbox == tmp_path / "drop" / "here"


@pytest.mark.parametrize(
    ("name", "value", "may_be"),
    [
        ("PORT", "99999", "a whole number from 1 to 65535"),
        ("PORT", "abc", "a whole number from 1 to 65535"),
        ("ORIGINALS", "move", "one of copy, reference"),
        ("PRESET", "Veryfast", "one of ultrafast"),
        ("DEINTERLACE", "both", "one of frame_rate, field_rate"),
        ("LADDER", "1080,721", "rungs out of 2160, 1440, 1080, 720, 540, 360"),
        ("LADDER", "", "not empty"),
        ("STORE_URL", "http://bucket", "s3://bucket/prefix"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("HOME", "", "a folder"),
        ("STOP_GRACE_S", "nan", "a number of seconds from 0 to 600"),
        ("LOG_LEVEL", "loud", "one of debug, info"),
        ("RULES", "not json", "a list of rules"),
    ],
)
def test_a_wrong_value_is_refused_with_its_names_and_what_it_may_be(monkeypatch, name, value, may_be):
    monkeypatch.setenv(f"SOURCEBOUND_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    text = str(refused.value)
    assert f"SOURCEBOUND_{name}" in text
    assert f"{name.lower()} in sourcebound.toml" in text
    assert repr(value) in text
    assert may_be in text


def test_a_truth_value_is_no_number(tmp_path):
    (tmp_path / "sourcebound.toml").write_text("port = true\n")
    with pytest.raises(SettingsError, match=r"port .* is True, but must be a whole number"):
        load_settings()


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("SOURCEBOUND_PROT", "3000")
    with pytest.raises(SettingsError, match="SOURCEBOUND_PROT is not a setting; did you mean SOURCEBOUND_PORT"):
        load_settings()


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "sourcebound.toml").write_text("run_slot = 3\n")
    with pytest.raises(SettingsError, match=r"run_slot in sourcebound.toml is not a setting; did you mean run_slots"):
        load_settings()


def test_an_unknown_override_is_refused():
    with pytest.raises(SettingsError, match="did you mean port"):
        load_settings(prot=3)


def test_variables_of_the_tests_are_no_settings(monkeypatch):
    monkeypatch.setenv("SOURCEBOUND_CORPUS", "somewhere")
    monkeypatch.setenv("SOURCEBOUND_REQUIRE_SERVICES", "1")
    assert load_settings().port == 3000


def test_a_named_file_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("SOURCEBOUND_CONFIG", "absent.toml")
    with pytest.raises(SettingsError, match=r"absent.toml cannot be read: No such file"):
        load_settings()


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "sourcebound.toml").write_text("port: 3000\n")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings()


def test_rules_say_what_holds_for_a_folder(tmp_path):
    (tmp_path / "sourcebound.toml").write_text(
        '[[rules]]\npattern = "interviews/*"\nlanguage = "de"\ntags = ["a", "b"]\npriority = 5\nladder = [360, 1080]\n'
    )
    assert load_settings().rules == (
        FolderRule(pattern="interviews/*", language="de", tags=("a", "b"), priority=5, ladder=(1080, 360)),
    )


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ('language = "de"', "has no pattern"),
        ('pattern = "*"\nlanguage = "German"', "language is 'German', but must be a language tag"),
        ('pattern = "*"\nlanguge = "de"', "languge is not part of a rule; did you mean language"),
        ('pattern = "*"\npriority = 1000', "rules: priority is 1000, but must be a whole number from -100 to 100"),
    ],
)
def test_a_wrong_rule_is_refused(tmp_path, rule, complaint):
    (tmp_path / "sourcebound.toml").write_text(f"[[rules]]\n{rule}\n")
    with pytest.raises(SettingsError, match=complaint):
        load_settings()


def test_a_child_process_loads_the_same_settings_in_another_folder(tmp_path, monkeypatch):
    rules = (FolderRule(pattern="a b/*", title="T, U", tags=("x",), assets=("poster",), ladder=(720,)),)
    settings = load_settings(home="state", ladder=(720, 360), rules=rules, stop_grace_s=2.5, permits=3)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert load_settings() == settings


@pytest.mark.parametrize("inbox", ["home", "home/published", "store/artifacts", "."])
def test_an_inbox_among_what_is_made_is_refused(tmp_path, monkeypatch, inbox):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"inbox is .* must be apart from .*: every file in it becomes a source"):
        load_settings(home="home", store_url=(tmp_path / "store").as_uri(), inbox=inbox)
    assert load_settings(home=".home", inbox=".").inbox == tmp_path


def test_settings_cannot_be_changed_after_loading():
    with pytest.raises(AttributeError):
        load_settings().port = 1


def test_the_page_about_settings_is_current():
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()
    for item in Settings.__dataclass_fields__:
        assert f"`{item}`" in settings_page()


def test_loading_settings_does_not_hold_up_a_command():
    """Every command pays this; a settings class of pydantic cost 190 ms where this takes 25."""
    program = "import sys; before = set(sys.modules); import resources.settings; print(set(sys.modules) - before)"
    started = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert time.perf_counter() - started < 5
    for heavy in ("pydantic", "sqlalchemy", "typer", "dagster", "asyncio"):
        assert f"'{heavy}'" not in out


@pytest.mark.parametrize(
    ("pattern", "path", "applies"),
    [
        ("interviews/*", "/in/interviews/a.mov", True),
        ("interviews/*", "/in/interviews/2024/may/a.mov", True),
        ("interviews", "/in/interviews/2024/a.mov", True),
        ("interviews/2024", "/in/interviews/2023/a.mov", False),
        ("interviews/*", "/in/archive/interviews/a.mov", False),
        ("*.mov", "/in/deep/down/a.mov", True),
        ("*.mov", "/in/deep/down/a.mp4", False),
        ("interviews/*", "/home/ann/interviews/a.mov", True),
        ("interviews/*", "/home/ann/a.mov", False),
        ("inter", "/in/interviews/a.mov", False),
    ],
)
def test_a_rule_speaks_of_a_folder_and_all_below_it(pattern: str, path: str, applies: bool) -> None:
    assert FolderRule(pattern=pattern).applies_to(Path(path), Path("/in")) is applies


def test_rungs_and_encoder_are_those_the_ladder_knows() -> None:
    """They are said here once more, for settings import nothing of the ladder."""
    settings = load_settings()
    video = {"display_width": 640, "display_height": 360, "timescale": 90_000, "frame_rate": {"num": 25, "den": 1}}
    told = ladder_plan.rung_parameters({"video": video}, ladder_plan.Rung(360, 640, 360), {})
    assert ladder_plan.STEPS == RUNGS
    assert (told["preset"], told["lookahead_frames"]) == (settings.preset, settings.lookahead)
