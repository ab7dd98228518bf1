"""What is shipped: the wheel's contents and names, the lock, and nothing of the machine it was written on."""

from __future__ import annotations

import email
import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"sensors", "media_assets", "processing", "resources", "operations"}
OUTSIDE_THE_ROOMS = {"workspace.yaml", "dagster.yaml", "requirements.lock"}
FOREIGN = re.compile(
    "|".join(
        [
            r"(?<![\w./-])/(?:wor" + r"k|roo" + r"t)/\w",  # a checkout or a home of one machine
            r"/tmp/bash" + r"_jobs",
            r"(?:pypi|pytho" + r"nhosted)\.org",
            r"registry\.npm" + r"js\.org",
            r"(?:deb|security)\.deb" + r"ian\.org",
            r"--(?:extra-)?index" + r"-url[ =]\S*://",
        ]
    )
)


@functools.cache
def committed() -> tuple[str, ...]:
    """The paths of all committed files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    return tuple(path for path in listed.stdout.decode().split("\0") if path and (ROOT / path).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as `pip` builds it, with the build backend of the lock."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(folder.glob("sourcebound-*.whl")))


def names(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if not name.endswith("/")}


def test_the_wheel_has_the_five_rooms_and_no_name_that_belongs_to_somebody_else(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in names(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == ROOMS
    owners = importlib.metadata.packages_distributions()
    others = {room: set(owners.get(room, ())) - {"sourcebound"} for room in ROOMS}
    assert others == {room: set() for room in ROOMS}, "another installed distribution owns a top-level name of ours"


def test_everything_committed_in_the_rooms_is_in_the_wheel_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Migrations, templates, prompts and price files are data of the rooms; tests and benchmarks stay out."""
    wanted = {path for path in committed() if path.partition("/")[0] in ROOMS}
    found = {name for name in names(wheel) if ".dist-info/" not in name}
    assert wanted <= found
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in found)
    assert not any(name.endswith((".pyc", ".orig", ".rej")) for name in found)


@pytest.mark.parametrize("name", sorted(OUTSIDE_THE_ROOMS))
def test_the_files_of_the_checkout_that_a_home_needs_are_below_resources(wheel: zipfile.ZipFile, name: str) -> None:
    assert wheel.read(f"resources/{name}") == (ROOT / name).read_bytes()


def test_the_wheel_carries_licence_and_notice_and_one_command(wheel: zipfile.ZipFile) -> None:
    info = next(name.partition("/")[0] for name in names(wheel) if ".dist-info/" in name)
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert wheel.read(f"{info}/licenses/NOTICE") == (ROOT / "NOTICE").read_bytes()
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert wheel.read(f"{info}/entry_points.txt").decode().split() == [
        "[console_scripts]",
        "sourcebound",
        "=",
        "operations.cli.main:app",
    ]


def test_the_installed_wheel_answers_outside_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOURCEBOUND_")}
    answered = subprocess.run(
        [sys.executable, "-c", "import operations.cli.main as m; print(m.__file__); m.app(['--help'])"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.startswith(str(tmp_path / "site"))
    assert "process" in answered.stdout


def test_no_committed_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = []
    for path in committed():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert found == []


@pytest.mark.parametrize("text", ["cd /wor" + "k/main", "see /roo" + "t/x", "https://pypi" + ".org/simple"])
def test_a_foreign_address_or_path_would_be_noticed(text: str) -> None:
    assert FOREIGN.search(text)


def locked() -> dict[str, list[tuple[Requirement, str]]]:
    """Every entry of the lock: its requirement and its hashes, by canonical name (one for each Python version)."""
    entries: dict[str, list[tuple[Requirement, str]]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement, _, hashes = line.partition("--hash=")
            parsed = Requirement(requirement.strip())
            entries.setdefault(canonicalize_name(parsed.name), []).append((parsed, hashes))
    return entries


def test_the_lock_pins_everything_exactly_and_with_hashes() -> None:
    entries = [entry for versions in locked().values() for entry in versions]
    assert len(entries) > 50
    for requirement, hashes in entries:
        assert [clause.operator for clause in requirement.specifier] == ["=="], requirement
        assert hashes.startswith("sha256:"), requirement


def test_the_lock_satisfies_what_the_project_asks_for_and_what_builds_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"]
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *optional["dev"],
        *optional["bench"],
    ]
    entries = locked()
    for text in wanted:
        requirement = Requirement(text)
        versions = [
            Version(next(iter(pin.specifier)).version) for pin, _ in entries[canonicalize_name(requirement.name)]
        ]
        assert all(requirement.specifier.contains(version) for version in versions), f"run `make lock`: {text}"


def test_every_upper_bound_carries_its_reason() -> None:
    """A pin that keeps newer versions out is a debt; the line says why it was taken on."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    bounded = [name for name in project["dependencies"] if "<" in name or "==" in name]
    reasons = {line.split('"')[1]: "#" in line for line in text.splitlines() if line.startswith('    "')}
    dagster_family = [name for name in bounded if name.startswith("dagster-")]  # numbered in step with dagster itself
    assert [name for name in bounded if not reasons[name] and name not in dagster_family] == []
