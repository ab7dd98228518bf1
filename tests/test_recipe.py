"""Recipes: complete or refused, and one hash for one meaning."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.recipe import FIELDS, IncompleteRecipe, Recipe, canonical, media_tools, recipe_hash, require_complete

BASE = Recipe(
    asset="poster",
    code_version="3",
    parameters={"height": 720, "at": {"ticks": 90_000, "timescale": 90_000}},
    inputs={"source": "a" * 64},
    tools={"av": "18.1.0"},
    models={"detector": "sha256:1"},
    prompts={"title": "sha256:2"},
    seed=7,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
parameters = st.dictionaries(st.text(max_size=8), json_values, max_size=6)


def shuffled(value: Any, order: random.Random) -> Any:
    """The same JSON value with the members of every object in another order."""
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name], order) for name in names}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


@given(parameters, st.randoms(use_true_random=False))
def test_the_order_in_which_parameters_were_written_does_not_matter(
    value: dict[str, Any], order: random.Random
) -> None:
    first = dataclasses.replace(BASE, parameters=value)
    second = dataclasses.replace(BASE, parameters=shuffled(value, order))
    assert first.hash == second.hash


@given(parameters, parameters)
def test_other_parameters_give_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = canonical(one) == canonical(other)
    assert (dataclasses.replace(BASE, parameters=one).hash == dataclasses.replace(BASE, parameters=other).hash) is same


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("asset", "proxy"),
        ("code_version", "4"),
        ("parameters", {}),
        ("inputs", {"source": "b" * 64}),
        ("tools", {"av": "18.1.1"}),
        ("models", {}),
        ("prompts", {}),
        ("seed", 8),
    ],
)
def test_each_field_alone_changes_the_hash(field: str, value: Any) -> None:
    assert dataclasses.replace(BASE, **{field: value}).hash != BASE.hash


def test_the_hash_is_the_sha256_of_the_canonical_json() -> None:
    """Anybody can recompute it from the manifest with a JSON library that sorts keys (all keys here are ASCII)."""
    text = json.dumps(BASE.to_json(), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == BASE.hash


@pytest.mark.parametrize("field", FIELDS)
def test_a_recipe_that_lacks_a_field_is_refused_by_name(field: str) -> None:
    incomplete = {name: value for name, value in BASE.to_json().items() if name != field}
    with pytest.raises(IncompleteRecipe) as refused:
        recipe_hash(incomplete)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("schema", 2, "schema"),
        ("asset", "", "asset"),
        ("code_version", 3, "code_version"),
        ("parameters", None, "parameters"),
        ("inputs", {}, "inputs"),
        ("inputs", {"source": "abc"}, "inputs.source"),
        ("inputs", {"source": "A" * 64}, "inputs.source"),
        ("tools", {}, "tools"),
        ("tools", {"av": ""}, "tools.av"),
        ("models", [], "models"),
        ("prompts", None, "prompts"),
        ("seed", True, "seed"),
        ("seed", 1.0, "seed"),
        ("host", "a machine", "host"),
    ],
)
def test_a_field_that_determines_nothing_is_refused_by_name(field: str, value: Any, named: str) -> None:
    with pytest.raises(IncompleteRecipe) as refused:
        require_complete(BASE.to_json() | {field: value})
    assert refused.value.field == named


def test_the_media_libraries_and_their_versions_are_tools() -> None:
    tools = media_tools()
    assert {"av", "ffmpeg", "libavcodec", "libavformat", "libswscale", "libswresample", "numpy", "pillow"} <= set(tools)
    assert all(tools.values())


def test_a_recipe_has_the_same_hash_in_every_process() -> None:
    """Hash seeds differ between the processes, so sets and dictionaries are walked in different orders."""
    program = (
        "from processing.recipe import Recipe\n"
        "names = {'gamma', 'alpha', 'beta', 'delta'}\n"
        "inputs = {name: 'a' * 64 for name in names}\n"
        "print(Recipe('poster', '1', dict.fromkeys(names, 1), inputs, dict.fromkeys(names, '1')).hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1
