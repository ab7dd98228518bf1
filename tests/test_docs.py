"""What the documents say can be typed, typed; and the tutorial's module, made, judged and refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command_line import CODE, CommandLine, Said
from tests.media import make_video

pytestmark = pytest.mark.timeout(600)

PAGES = sorted([CODE / "README.md", *(CODE / "docs").rglob("*.md")])
TYPED = re.compile(r"^ {4}\.venv/bin/sourcebound (.*?)(?: {2,}.*)?$", re.MULTILINE)
NAMED = re.compile(r"`(?:\.venv/bin/)?sourcebound ([a-z|]+)")
MADE = re.compile(r"(?:^ {4}|`)make ([a-z]+)", re.MULTILINE)
MEASURED = re.compile(r"python -m (benchmarks\.[a-z_]+)")
ROOMS = ("sensors", "media_assets", "processing", "resources", "operations")
FILES = ("workspace.yaml", "dagster.yaml", "requirements.lock", "pyproject.toml", "Makefile")
MODULE = "processing/derivatives/palette.py"
SORTED = "sorted(few.getcolors() or [], reverse=True)"


def typed(page: Path) -> list[list[str]]:
    """The commands of a page, in order, as words."""
    return [found.split() for found in TYPED.findall(page.read_text(encoding="utf-8"))]


def everything(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """What all pages together say of a kind, each once, with one page that does."""
    found = {said: page.name for page in PAGES for said in pattern.findall(page.read_text(encoding="utf-8"))}
    return sorted((said, page) for said, page in found.items())


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder with the files that the documents speak of."""
    place = tmp_path_factory.mktemp("docs")
    place.chmod(0o755)
    make_video(place / "clip.mov", frames=50, width=320, height=180, rate=25)
    (place / "holiday").mkdir()
    make_video(place / "holiday" / "ferry.mp4", frames=25, width=320, height=180, rate=25)
    return CommandLine(place)


def source_of(line: CommandLine, name: str) -> str:
    """The key of the source of a file."""
    sources = line("status", "--json").report["sources"]
    return next(str(each["source"]) for each in sources if each["path"].endswith(name))


def say(line: CommandLine, words: list[str]) -> Said:
    """Type a command of the documents."""
    key = source_of(line, "clip.mov") if "SOURCE" in words else ""
    return line(*[key if word == "SOURCE" else word for word in words])


def test_what_the_readme_types_works_in_its_order(line: CommandLine) -> None:
    commands = typed(CODE / "README.md")
    assert len(commands) >= 10
    for words in commands:
        said = say(line, words)
        if words[:2] == ["models", "compare"]:  # of two names that stand for any
            assert (said.status, said.says_one_sentence) == (1, True), said
            continue
        assert (said.status, "Traceback" in said.err) == (0, False), (words, said)
    assert (line.place / "page" / "index.html").is_file()
    assert (line.place / "out" / "index.json").is_file()


@pytest.mark.parametrize(("names", "page"), everything(NAMED))
def test_commands_that_are_named_are_there(line: CommandLine, names: str, page: str) -> None:
    for name in filter(None, names.split("|")):
        assert line(name, "--help").status == 0, f"{page} names {name}"


def test_targets_and_benchmarks_that_are_named_are_there() -> None:
    for target, page in everything(MADE):
        assert subprocess.run(["make", "-n", target], cwd=CODE, capture_output=True).returncode == 0, (page, target)
    for module, page in everything(MEASURED):
        assert find_spec(module) is not None, (page, module)


@pytest.fixture
def workshop(line: CommandLine, tmp_path: Path) -> CommandLine:
    """The code as somebody checks it out, to add a module to; a home that has made the film without it."""
    code = tmp_path / "code"
    for room in ROOMS:
        shutil.copytree(CODE / room, code / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copyfile(CODE / name, code / name)
    return CommandLine(line.place, {"PYTHONPATH": str(code)})


def test_the_tutorial_can_be_followed(workshop: CommandLine) -> None:
    code = Path(workshop.variables["PYTHONPATH"])
    page = (CODE / "docs" / "tutorial.md").read_text(encoding="utf-8")
    module = page.partition("```python\n")[2].partition("```")[0]
    assert workshop("process", "clip.mov").status == 0
    (code / MODULE).write_text(module, encoding="utf-8")
    assert "    make validate\n" in page
    validate = ["make", "-o", "setup", f"BIN={Path(sys.executable).parent}", "validate"]  # this environment is set up
    valid = subprocess.run(validate, cwd=code, env=workshop.environment(), capture_output=True, text=True)
    assert valid.returncode == 0, valid.stderr[-2000:]

    made = workshop("process", "clip.mov", "--json")
    assert (made.status, made.report["encoder_calls"]) == (0, 0), made
    asset = made.report["sources"][0]["assets"]["palette"]
    assert asset["state"] == "ready"
    assert asset["checks"]["the largest comes first"] == "passed"
    for words in typed(CODE / "docs" / "tutorial.md"):
        if words[0] in ("artifacts", "get"):
            assert say(workshop, words).status == 0
    colours = json.loads((workshop.place / "palette" / "palette.json").read_text())
    assert 1 <= len(colours) <= 5
    key = source_of(workshop, "clip.mov")
    published = workshop.home / "published" / key / "palette.json"
    before = published.read_bytes()

    assert SORTED in module
    spoiled = module.replace(SORTED, "sorted(few.getcolors() or [])").replace('code_version="1"', 'code_version="2"')
    (code / MODULE).write_text(spoiled, encoding="utf-8")
    assert workshop("process", "clip.mov").status == 1
    told = workshop("explain", key).out
    assert "the largest comes first" in told
    assert published.read_bytes() == before

    (code / MODULE).write_text(module, encoding="utf-8")
    assert workshop("retry", key).status == 0
    assert workshop("process", "clip.mov").status == 0


def test_a_module_that_declares_nothing_is_named(workshop: CommandLine) -> None:
    code = Path(workshop.variables["PYTHONPATH"])
    (code / MODULE).write_text("DERIVATIVE = None\n")
    loaded = subprocess.run(
        [sys.executable, "-c", "from media_assets.declared import declared; declared()"],
        cwd=code, env=workshop.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert "processing/derivatives/palette.py has no DERIVATIVE" in loaded.stderr


NEEDING = """
from processing.derivative import Derivative
from processing.manifest import DeterminismClass
from processing.work import Bounds, Work

DERIVATIVE = Derivative(
    work=Work(
        asset="{name}", code_version="1", operation="processing.derivatives.{name}:make",
        contract="processing.derivatives.{name}:contract", needs=("media_info", "{need}"),
        bounds=Bounds(wall_base_s=1, wall_per_media_s=0, memory_mb=64), determinism=DeterminismClass.A,
    ),
    description="For a test.",
    kinds=("video",),
)
"""
ASKED = """
from media_assets.declared import declared
found = declared()
print([(name, found[name].part) for name in ("first", "second", "third")])
print([name in found["release"].work.awaits for name in ("first", "second", "third")])
"""


def test_what_needs_words_is_made_with_words_and_holds_no_release_up(workshop: CommandLine) -> None:
    code = Path(workshop.variables["PYTHONPATH"])
    for name, need in (("first", "second"), ("second", "transcript"), ("third", "poster")):
        (code / f"processing/derivatives/{name}.py").write_text(NEEDING.format(name=name, need=need))
    told = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=code, env=workshop.environment(), capture_output=True, text=True
    )
    parts, awaited = told.stdout.splitlines()
    assert parts == "[('first', 'words'), ('second', 'words'), ('third', 'media')]", told.stderr
    assert awaited == "[True, True, False]"
