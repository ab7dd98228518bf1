"""What people link to: a few texts with stable names, and links to the artifacts they speak of.

Belongs here: which names a release has, `index.json`, and the playlists as they read from the published folder. Does
not belong here: laying that folder out and switching to it (resources/store/published).

No media is copied. Every output becomes a link: an artifact with folders inside as one folder of the asset's name, any
other as its files under their own names. All outputs come from one version of the upload.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from processing.completeness import WHOLE, carried, each_once
from processing.failures import ContractBroken
from processing.picture import dash, playlists
from processing.picture.playlists import SubtitleRendition, free_name, quotable
from processing.sound.plan import AAC_TAP, PASS
from processing.work import Input, PlannedProduct, Result, Tap, Task

CODE_VERSION = "2"  # raised when the same outputs would be described in other texts
FORMAT = 1  # raised when a reader of index.json has to read it differently
INDEX_NAME = "index.json"
HLS = "hls"
MEDIA_INFO = "media_info"
SUBTITLES = "subtitles"
CAPTIONS = "captions"
# How captions by a machine are offered: by a name that says so, and never by themselves.
HEARD: Mapping[str, Any] = {"title": "Automatic", "default": False, "forced": False, "hearing_impaired": False}
PLAYABLE, COMPLETE = "playable", "complete"
SOUND = "aac/"
SOUND_FILE = "audio.m4a"
MAX_NAMES = 64  # links by file of one artifact; more belong into a folder
Links = dict[str, dict[str, str]]


def applies(_info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    """Every source has a release."""
    return None


def parameters(_info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The moment: `playable` while words are still to come, else `complete`; the source's own facts are added where the
    recipe is made.

    Beside it the assets that are left out where only a part of them could be made, if any are named.
    """
    withheld = options.get("withhold_partial")
    return {"moment": options.get("moment", COMPLETE), **({"withhold_partial": sorted(withheld)} if withheld else {})}


def _sound_alone(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The AAC tracks of a source without moving pictures; beside pictures the proxy carries the sound."""
    return [] if info.get("video") else AAC_TAP.plan(info, options)


SOUND_ALONE_TAP = Tap("sound_alone", PASS, _sound_alone)


def make(task: Task) -> Result:
    """Write the texts of a release, and its links as facts.

    Inputs are the outputs to publish by asset, `media_info`, and for sound alone the AAC tracks. Raises
    `ContractBroken` when two outputs claim one name, or an output was not published.
    """
    withheld = withheld_from(task)
    task = admitted(task)
    links = links_of(task.inputs)
    texts = [INDEX_NAME]
    if HLS in task.inputs:
        packaged = task.inputs[HLS]
        master = packaged.path(playlists.MASTER_NAME).read_text(encoding="utf-8")
        manifest = packaged.path(dash.MANIFEST_NAME).read_text(encoding="utf-8")
        texts_shown = subtitle_renditions(task.inputs)
        files = [f"../{name}" for name in subtitle_files(task.inputs)]  # the manifest's own base is the folder of hls
        _write(task, playlists.MASTER_NAME, playlists.with_subtitles(playlists.moved(master, HLS), texts_shown))
        _write(task, dash.MANIFEST_NAME, dash.with_subtitles(dash.moved(manifest, HLS), texts_shown, files))
        texts += [playlists.MASTER_NAME, dash.MANIFEST_NAME]
    clashing = sorted(set(links) & set(texts))
    if clashing:
        raise ContractBroken(f"an output claims the name {clashing[0]} of the release's own texts")
    index = {**index_of(task, links, texts), "withheld": withheld}
    _write(task, INDEX_NAME, json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return Result(facts={"links": links, "texts": sorted(texts), "moment": index["moment"], "source": index["source"]})


def subtitle_renditions(inputs: Mapping[str, Input]) -> list[SubtitleRendition]:
    """How each text track is presented: a name of its own, its language, one default at most."""
    renditions: list[SubtitleRendition] = []
    names: set[str] = set()
    for number, track in enumerate(_subtitle_tracks(inputs)):
        name = free_name(quotable(track["title"] or track["language"] or f"Subtitles {number + 1}"), names)
        names.add(name)
        is_default = bool(track["default"]) and not any(known.is_default for known in renditions)
        renditions.append(
            SubtitleRendition(
                track["playlist"],
                name,
                track["language"],
                is_default,
                bool(track["forced"]),
                bool(track["hearing_impaired"]),
            )
        )
    return renditions


def subtitle_files(inputs: Mapping[str, Input]) -> list[str]:
    """The WebVTT files of the text tracks, in the same order."""
    return [str(track["file"]) for track in _subtitle_tracks(inputs)]


def _subtitle_tracks(inputs: Mapping[str, Input]) -> list[Mapping[str, Any]]:
    """The texts that came with the source first, then those that a machine heard."""
    came = list(inputs[SUBTITLES].facts["tracks"]) if SUBTITLES in inputs else []
    heard = [{**HEARD, **track} for track in inputs[CAPTIONS].facts["tracks"]] if CAPTIONS in inputs else []
    return [*came, *heard]


def withheld_from(task: Task) -> dict[str, dict[str, int]]:
    """The completeness of each asset that the release leaves out because only a part of it is there."""
    named = set(task.parameters.get("withhold_partial", ()))
    return {
        asset: dict(item.completeness)
        for name, item in sorted(task.inputs.items())
        if (asset := asset_of(name)) in named and item.completeness["num"] < item.completeness["den"]
    }


def admitted(task: Task) -> Task:
    """The task over what is released; what the source is stays in any case."""
    withheld = withheld_from(task)
    inputs = {name: item for name, item in task.inputs.items() if name == MEDIA_INFO or asset_of(name) not in withheld}
    return replace(task, inputs=inputs)


def asset_of(name: str) -> str:
    """The asset that an input of that name is of: AAC tracks are products of the sound pass."""
    return PASS if name.startswith(SOUND) else name


def _write(task: Task, name: str, text: str) -> None:
    (task.out / name).write_text(text, encoding="utf-8", newline="\n")


def published_inputs(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """The inputs that are outputs of their own, by asset: not media_info, not products of a pass."""
    return {name: item for name, item in sorted(inputs.items()) if name != MEDIA_INFO and "/" not in name}


def links_of(inputs: Mapping[str, Input]) -> Links:
    """Every name of the release that stands for a file or folder of an artifact: asset, recipe hash, path in it.

    Raises `ContractBroken` for a name claimed twice or an input that is published nowhere.
    """
    links: Links = {}
    for asset, item in published_inputs(inputs).items():
        for name, path in _names(asset, item).items():
            _add(links, name, link_to(item, path))
    if not inputs[MEDIA_INFO].facts.get("video"):
        for name, item in sorted(inputs.items()):
            if name.startswith(SOUND):
                _add(links, sound_name(name), link_to(item, SOUND_FILE))
    return links


def sound_name(product: str) -> str:
    """How an AAC track of a source without pictures is called."""
    track = int(product.removeprefix(SOUND))
    return "audio.m4a" if track == 0 else f"audio-{track}.m4a"


def _names(asset: str, item: Input) -> dict[str, str]:
    paths = [entry.path for entry in item.files]
    if len(paths) > MAX_NAMES or any("/" in path for path in paths):
        return {asset: ""}
    return {path: path for path in paths}


def link_to(item: Input, path: str) -> dict[str, str]:
    """A link to a file of an input, or to its folder where `path` is empty. Raises `ContractBroken`."""
    if not item.recipe_hash:
        raise ContractBroken(f"{item.name} is published nowhere, so that nothing can link to it")
    return {"asset": asset_of(item.name), "recipe_hash": item.recipe_hash, "path": path}


def _add(links: Links, name: str, link: dict[str, str]) -> None:
    if name in links:
        raise ContractBroken(f"{links[name]['asset']} and {link['asset']} both claim the name {name}")
    links[name] = link


def index_of(task: Task, links: Links, texts: list[str]) -> dict[str, Any]:
    """The content of `index.json`: what there is, under which names, made by which recipes, of which upload."""
    info = task.inputs[MEDIA_INFO]
    source = task.parameters.get("source", {})
    names: dict[str, list[str]] = {}
    for name, link in links.items():
        names.setdefault(link["asset"], []).append(name)
    outputs = {
        asset: {"recipe_hash": item.recipe_hash, "data_version": item.data_version, "uris": sorted(names[asset])}
        for asset, item in published_inputs(task.inputs).items()
        if asset in names
    }
    tracks = [
        {"recipe_hash": item.recipe_hash, "data_version": item.data_version, "uri": sound_name(name)}
        for name, item in sorted(task.inputs.items())
        if name.startswith(SOUND) and sound_name(name) in links
    ]
    return {
        "format": FORMAT,
        "source": source.get("source"),
        "title": source.get("title") or info.facts["format"].get("title"),
        "tags": list(source.get("tags", ())),
        "moment": task.parameters["moment"],
        "kind": info.facts["kind"],
        "duration": info.facts.get("duration"),
        "completeness": carried(WHOLE, {name: item.completeness for name, item in task.inputs.items()}, ()),
        "gaps": list(each_once(gap for item in task.inputs.values() for gap in item.gaps)),
        "media_info": {"recipe_hash": info.recipe_hash, "data_version": info.data_version},
        "outputs": outputs,
        "tracks": tracks,
        "texts": sorted(texts),
        "play": {name: uri for name, uri in _entry_points(links, texts).items() if uri is not None},
        "audio": [
            {"language": t.get("language"), "title": t.get("title"), "channels": t.get("channels")}
            for t in info.facts.get("audio") or ()
        ],
        "subtitles": [
            {"language": track["language"], "title": track["title"], "forced": track["forced"], "uri": track["file"]}
            for track in _subtitle_tracks(task.inputs)
        ],
        "ai": {
            asset: {"model": item.facts.get("model"), "review": item.facts.get("review"), "warned": list(item.warned)}
            for asset, item in published_inputs(task.inputs).items()
            if item.facts.get("ai_generated")
        },
        "chapters": [dict(chapter) for chapter in info.facts.get("chapters") or ()],
    }


def _entry_points(links: Links, texts: list[str]) -> dict[str, str | None]:
    """Where a player or a page starts."""
    known = {*links, *texts}
    wanted = {
        "hls": playlists.MASTER_NAME,
        "dash": dash.MANIFEST_NAME,
        "file": "proxy.mp4",
        "sound": "audio.m4a",
        "poster": "poster.jpg",
        "storyboard": "storyboard.vtt",
    }
    return {name: uri if uri in known else None for name, uri in wanted.items()}
