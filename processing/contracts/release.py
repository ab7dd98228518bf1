"""What must hold of a release: every name leads to something that exists, and all of it is of one version.

Belongs here: texts, links and index against each other and against the inputs. Does not belong here: whether the
outputs themselves are good; each has a contract of its own.
"""

from __future__ import annotations

import json
import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Any

from processing.contracts.clauses import expect, failed, passed
from processing.manifest import Outcome, Verdict
from processing.picture import dash, playlists
from processing.release import (
    HLS,
    INDEX_NAME,
    MEDIA_INFO,
    SOUND,
    admitted,
    asset_of,
    published_inputs,
    sound_name,
    subtitle_files,
    subtitle_renditions,
    withheld_from,
)
from processing.work import Input, Task


def check(task: Task) -> list[Verdict]:
    """Judge a release. Where the index cannot be read the rest is not looked at."""
    if task.made is None:
        raise ValueError("a contract needs what was made")
    made = task.made
    withheld, task = withheld_from(task), admitted(task)
    links: Mapping[str, Mapping[str, str]] = made.facts.get("links", {})
    try:
        index = json.loads(made.path(INDEX_NAME).read_bytes())
    except (KeyError, OSError, ValueError) as error:
        return [failed("index readable", str(error), "JSON")]
    return [
        passed("index readable"),
        _texts(made),
        _links(links, task.inputs),
        _playlists(made, links, task.inputs),
        _index(index, task, links),
        _one_generation(index, task.inputs),
        expect("says what is withheld", index.get("withheld") == withheld, str(index.get("withheld")), str(withheld)),
    ]


def _verdict(clause: str, troubles: Iterable[str]) -> Verdict:
    listed = list(troubles)
    return failed(clause, "; ".join(listed[:3])) if listed else passed(clause)


def _texts(made: Input) -> Verdict:
    """The artifact is exactly the texts it announces."""
    there, said = sorted(entry.path for entry in made.files), sorted(made.facts.get("texts", ()))
    return Verdict(
        "texts as announced", Outcome.PASSED if there == said else Outcome.FAILED, ", ".join(there), ", ".join(said)
    )


def _target(link: Mapping[str, str], inputs: Mapping[str, Input]) -> Input | None:
    """The input that a link means, by asset and recipe."""
    candidates = [item for name, item in inputs.items() if asset_of(name) == link["asset"]]
    return next((item for item in candidates if item.recipe_hash == link["recipe_hash"]), None)


def _files_at(item: Input, path: str) -> list[str]:
    """Paths, relative to what the link stands for, of the files below it; "" for the file itself."""
    if not path:
        return [entry.path for entry in item.files]
    return [""] if any(entry.path == path for entry in item.files) else []


def _links(links: Mapping[str, Mapping[str, str]], inputs: Mapping[str, Input]) -> Verdict:
    """Every link leads to a file of an input, and every output is linked."""
    troubles = []
    linked: set[tuple[str, str]] = set()
    for name, link in links.items():
        item = _target(link, inputs)
        if item is None:
            troubles.append(f"{name} leads to {link['asset']} {link['recipe_hash'][:12]}, which is no input")
        elif not _files_at(item, link["path"]):
            troubles.append(f"{name} leads to {link['path']!r}, which {link['asset']} does not have")
        linked.add((link["asset"], link["recipe_hash"]))
    troubles += [
        f"{asset} has no link"
        for asset, item in published_inputs(inputs).items()
        if item.files and (asset, item.recipe_hash) not in linked
    ]
    return _verdict("links lead to outputs", troubles)


def _names(made: Input, links: Mapping[str, Mapping[str, str]], inputs: Mapping[str, Input]) -> set[str]:
    """Every path that the published folder will have."""
    names = {entry.path for entry in made.files}
    for name, link in links.items():
        item = _target(link, inputs)
        for path in _files_at(item, link["path"]) if item else ():
            names.add(f"{name}/{path}" if path else name)
    return names


def _playlists(made: Input, links: Mapping[str, Mapping[str, str]], inputs: Mapping[str, Input]) -> Verdict:
    """Every URI of the playlist and of the manifest is relative and leads to a path of the published folder."""
    clause = "playlists lead somewhere"
    if HLS not in inputs:
        return passed(clause, "none")
    try:
        uris = playlists.parse_multivariant(made.path(playlists.MASTER_NAME).read_text(encoding="utf-8")).uris()
        uris += _manifest_uris(made.path(dash.MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, ET.ParseError) as error:
        return failed(clause, f"the playlist or the manifest cannot be read ({error})")
    names = _names(made, links, inputs)
    troubles = [f"{uri} leads nowhere" for uri in uris if uri not in names]
    offered = [*(rendition.uri for rendition in subtitle_renditions(inputs)), *subtitle_files(inputs)]
    return _verdict(
        clause, [*troubles, *(f"{uri} is offered by no player's list" for uri in offered if uri not in uris)]
    )


def _manifest_uris(mpd: str) -> list[str]:
    """The init segment and the first media segment of every representation."""
    root = ET.fromstring(mpd)  # noqa: S314  # written by this house, no entities
    space = {"m": dash.NAMESPACE}
    base = root.findtext("m:BaseURL", "", space)
    uris = []
    for adaptation in root.iterfind("m:Period/m:AdaptationSet", space):
        if adaptation.get("contentType") == "text":
            found = [node.text or "" for node in adaptation.iterfind("m:Representation/m:BaseURL", space)]
            uris += [posixpath.normpath(base + uri) for uri in found]
            continue
        template = adaptation.find("m:SegmentTemplate", space)
        if template is None:
            raise ValueError("an adaptation set has no template")
        for representation in adaptation.iterfind("m:Representation", space):
            for name in ("initialization", "media"):
                filled = template.attrib[name].replace("$RepresentationID$", representation.attrib["id"])
                uris.append(base + filled.replace("$Number%05d$", f"{int(template.attrib['startNumber']):05d}"))
    return uris


def _index(index: Mapping[str, Any], task: Task, links: Mapping[str, Mapping[str, str]]) -> Verdict:
    """The index names every output with its recipe, version and names, and the source it was made for."""
    troubles = []
    outputs = index.get("outputs", {})
    expected = {asset: item for asset, item in published_inputs(task.inputs).items() if item.files}
    if set(outputs) != set(expected):
        troubles.append(f"it lists {sorted(outputs)}, the inputs are {sorted(expected)}")
    for asset in sorted(set(outputs) & set(expected)):
        item, said = expected[asset], outputs[asset]
        names = sorted(name for name, link in links.items() if link["asset"] == asset)
        if (said.get("recipe_hash"), said.get("data_version")) != (item.recipe_hash, item.data_version):
            troubles.append(f"{asset} is listed with another recipe or version")
        if said.get("uris") != names:
            troubles.append(f"{asset} is listed under {said.get('uris')}, linked as {names}")
    for track in index.get("tracks", ()):
        heard = [item for name, item in task.inputs.items() if name.startswith(SOUND) and _is_track(name, track)]
        if not heard or heard[0].recipe_hash != track.get("recipe_hash") or track["uri"] not in links:
            troubles.append(f"{track.get('uri')} is not a track")
    source = task.parameters.get("source", {})
    if index.get("source") != source.get("source") or index.get("moment") != task.parameters["moment"]:
        troubles.append(f"it is of {index.get('source')}, {index.get('moment')}")
    known = {*links, *(entry.path for entry in task.made.files)} if task.made else set()
    troubles += [f"{uri} is no name of the release" for uri in index.get("play", {}).values() if uri not in known]
    return _verdict("index agrees", troubles)


def _is_track(name: str, track: Mapping[str, Any]) -> bool:
    return sound_name(name) == track.get("uri")


def _one_generation(index: Mapping[str, Any], inputs: Mapping[str, Input]) -> Verdict:
    """All outputs were made of the version of the upload that the index names."""
    upload = inputs[MEDIA_INFO].data_version
    troubles = [
        f"{name} was made of another version of the upload"
        for name, item in published_inputs(inputs).items()
        if item.facts.get(MEDIA_INFO) != upload
    ]
    if index.get("media_info", {}).get("data_version") != upload:
        troubles.append("the index names another version of the upload")
    return _verdict("one generation", troubles)
