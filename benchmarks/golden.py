"""Makes the golden sets: `python -m benchmarks.golden CORPUS [TASK...]` writes resources/releases/golden anew.

Belongs here: choosing clips of the corpus, speaking and drawing sentences, composing transcripts. Does not belong here:
reading the sets (resources/releases/golden_sets) or scoring (resources/releases/scoring).

Run it when the set is extended, with the tasks whose items change, then raise `VERSION` and commit what
changed. Speaking needs an `ffmpeg` with libflite, drawing the DejaVu fonts.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from resources.releases.golden_sets import FOLDER, LICENCES, MANIFEST

VERSION = "1.1.0"
RATE_HZ = 16_000
OWN = "Apache-2.0"
VOICES = ("slt", "rms", "awb", "kal16")
FLITE = "Apache-2.0 (text); voice of CMU Flite, Copyright Carnegie Mellon University, free to use and redistribute"
DEJAVU = "Apache-2.0 (text); drawn in DejaVu fonts, Bitstream Vera licence"
SPOKEN, DRAWN = 26, 24
# What readers can follow, as broadcasters have it: lines and their length, reading speed, how long a cue stays.
CAPTION_RULES = {"lines": 2, "line_characters": 42, "characters_a_s": 20, "least_ms": 700, "most_ms": 7000}
EN_SETS, CAPTION_ITEMS = 24, 30
VECTOR_ITEMS, STRANGERS = 40, 6
SEEN_SIDE = 320  # pixels: enough to see what is named, and small
LANGUAGE_TRAITS = ("en", "es", "ja", "zh")
# Truth that is a part of what is said, or terms that do not name the medium.
LEFT_OUT = ("speech/speech_to_text_test.mp4", "speech/testspeech.mp4", "speech/friday.mp4")

Samples = npt.NDArray[np.int16]
Passage = dict[str, Any]


def main() -> int:
    """Write the sets and say how large they are."""
    corpus = Path(sys.argv[1])
    passages = tomllib.loads((FOLDER / "passages.toml").read_text(encoding="utf-8"))["passage"]
    makers: dict[str, Iterable[dict[str, Any]]] = {
        "speech": itertools.chain(clips(corpus), spoken(passages), wordless()),
        "reading": itertools.chain(pictures(corpus), drawn(passages)),
        "writing": written(passages),
        "vectors": neighbours(passages),
        "labels": itertools.chain(scenes(corpus), grounds()),
        "captions": captioned(passages),
    }
    chosen = sys.argv[2:] or list(makers)
    kept = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))["items"]
    entries: list[dict[str, Any]] = []
    for task, maker in makers.items():
        if task not in chosen:
            entries += [each for each in kept if each["task"] == task]
            continue
        shutil.rmtree(FOLDER / task, ignore_errors=True)
        (FOLDER / task).mkdir(parents=True)
        entries += maker
    copy_licences(corpus, entries)
    document = {"version": VERSION, "items": [{k: v for k, v in each.items() if k != "repository"} for each in entries]}
    (FOLDER / MANIFEST).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    for task in makers:
        print(f"{task:9} {sum(each['task'] == task for each in entries):3} items")
    print(f"{total / 1e6:.1f} MB")
    return 0


def entry(
    id_: str, task: str, name: str, *, language: str | None, licence: str, origin: str, **more: Any
) -> dict[str, Any]:
    """An item of the manifest, its file being written."""
    path = FOLDER / task / name
    return {
        "id": id_,
        "task": task,
        "file": f"{task}/{name}",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "language": language,
        "truth": more.pop("truth", ""),
        "samples": more.pop("samples", 0),
        "licence": licence,
        "origin": origin,
        **more,
    }


def corpus_rows(corpus: Path, folder: str, kind: str) -> Iterator[dict[str, str]]:
    """The rows of the corpus below a folder that have a truth of a kind."""
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["path"].startswith(folder) and row["truth_kind"] == kind and row["path"] not in LEFT_OUT:
                yield row


def language_of(row: dict[str, str]) -> str | None:
    """The language that a row was chosen for."""
    return next((trait for trait in row["traits"].split(";") if trait in LANGUAGE_TRAITS), None)


def origin_of(row: dict[str, str]) -> str:
    """Where a file of the corpus is from."""
    repository = row["source_repo"].removeprefix("github.com/")
    return f"{repository} at {row['source_commit'][:12]}, {row['source_path']}"


def clips(corpus: Path) -> Iterator[dict[str, Any]]:
    """Recordings of people."""
    for row in corpus_rows(corpus, "speech/", "transcript"):
        name = slug(Path(row["path"]).stem)
        samples = decoded(corpus / row["path"])
        write_flac(FOLDER / "speech" / f"{name}.flac", samples)
        yield entry(
            f"speech/{name}",
            "speech",
            f"{name}.flac",
            language=language_of(row),
            truth=row["truth"],
            samples=len(samples),
            licence=row["licence"],
            origin=origin_of(row),
            repository=row["source_repo"].removeprefix("github.com/"),
        )


def spoken(passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Sentences in synthetic voices."""
    english = [passage for passage in passages if passage["language"] == "en"]
    for number in range(SPOKEN):
        passage = english[number % len(english)]
        sentence = passage["sentences"][(number * 3 + number // len(english)) % len(passage["sentences"])]
        voice = VOICES[number % len(VOICES)]
        name = f"spoken-{number:02d}-{voice}"
        words = sentence.replace("'", "").replace(":", "")
        told = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", f"flite=text='{words}':voice={voice}"]
        raw = subprocess.run(
            [*told, "-ar", str(RATE_HZ), "-ac", "1", "-f", "s16le", "-"], check=True, capture_output=True
        )
        samples = np.frombuffer(raw.stdout, dtype="<i2").astype(np.int16)
        write_flac(FOLDER / "speech" / f"{name}.flac", samples)
        yield entry(
            f"speech/{name}",
            "speech",
            f"{name}.flac",
            language="en",
            truth=sentence,
            samples=len(samples),
            licence=FLITE,
            origin=f"passage {passage['id']}, voice {voice}",
        )


def wordless() -> Iterator[dict[str, Any]]:
    """Sound in which nobody says anything: whatever is heard there is invented."""
    dice = np.random.default_rng(7)
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    sounds = {
        "silence": np.zeros(times.size),
        "noise": 0.05 * dice.standard_normal(times.size),
        "tone": 0.25 * np.sin(2 * np.pi * 440 * times),
    }
    for name, wave in sounds.items():
        write_flac(FOLDER / "speech" / f"{name}.flac", np.round(wave * 32_767).clip(-32_768, 32_767).astype(np.int16))
        yield entry(
            f"speech/{name}",
            "speech",
            f"{name}.flac",
            language="en",
            samples=times.size,
            licence=OWN,
            origin="computed",
        )


def pictures(corpus: Path) -> Iterator[dict[str, Any]]:
    """Pictures with text, upright, as PNG."""
    for row in corpus_rows(corpus, "ocr/", "ocr"):
        name = slug(Path(row["path"]).stem)
        with Image.open(corpus / row["path"]) as picture:
            upright = ImageOps.exif_transpose(picture).convert("L" if picture.mode == "1" else "RGB")
        upright.save(FOLDER / "reading" / f"{name}.png", optimize=True)
        yield entry(
            f"reading/{name}",
            "reading",
            f"{name}.png",
            language=language_of(row),
            truth=row["truth"],
            licence=row["licence"],
            origin=origin_of(row),
            repository=row["source_repo"].removeprefix("github.com/"),
        )


def drawn(passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Sentences on grounds of several kinds, and two grounds without any."""
    latin = [passage for passage in passages if passage["language"] in ("en", "de", "fr", "es")]
    fonts = ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansCondensed-Oblique.ttf")
    for number in range(DRAWN):
        passage = latin[(number * 5) % len(latin)]
        text = "" if number >= DRAWN - 2 else passage["sentences"][number % len(passage["sentences"])]
        name = f"drawn-{number:02d}"
        picture = drawing(text, fonts[number % len(fonts)], number)
        picture.save(FOLDER / "reading" / f"{name}.png", optimize=True)
        yield entry(
            f"reading/{name}",
            "reading",
            f"{name}.png",
            language=passage["language"],
            truth=text,
            licence=DEJAVU,
            origin=f"passage {passage['id']}" if text else "computed",
        )


def drawing(text: str, font: str, number: int) -> Image.Image:
    """A picture of 640x360 with a text in up to three lines: on plain, graded or rough ground, light or dark."""
    size = (16, 20, 24, 30)[number % 4]
    rows, columns = np.mgrid[0:360, 0:640]
    ground = {0: np.full((360, 640), 245.0), 1: np.full((360, 640), 24.0), 2: 60 + 90 * columns / 640}.get(number % 3)
    assert ground is not None
    if number % 5 == 4:
        ground = ground + 6 * np.sin(rows / 3.0) * np.cos(columns / 5.0)
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    face = ImageFont.truetype(font, size)  # found where fonts of the system are
    lines: list[str] = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=face) > 580:
            lines.append(word)
        else:
            lines[-1] = longer
    ink = (20, 20, 20) if number % 3 == 0 else (250, 250, 210)
    draw.multiline_text((30, 120 + 10 * (number % 7)), "\n".join(lines), font=face, fill=ink, spacing=size // 2)
    return picture.rotate(2, fillcolor=tuple(picture.getpixel((0, 0)))) if number % 8 == 7 else picture


def written(passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Transcripts of three topics each."""
    sets = list(compositions(passages))
    for number, chosen in enumerate(sets):
        name = f"written-{number:02d}"
        # Every other item has no longer pause between topics than between sentences.
        document = composed(chosen, words_a_s=2.5, between_ms=500, topic_ms=1500 if number % 2 else 500)
        write_json(FOLDER / "writing" / f"{name}.json", document)
        yield entry(
            f"writing/{name}",
            "writing",
            f"{name}.json",
            language=chosen[0]["language"],
            samples=document["duration"],
            licence=OWN,
            origin=f"passages {', '.join(passage['id'] for passage in chosen)}",
        )


def neighbours(passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """A sentence, one of the same passage, and six of others in its language, or in any where there are too few."""
    for number in range(VECTOR_ITEMS):
        passage = passages[number % len(passages)]
        matters = [passage["sentences"][each] for each in passage["matters"]]
        one = number // len(passages) % len(matters)
        anchor, about = matters[one], matters[(one + 1) % len(matters)]
        own = [other for other in passages if other["language"] == passage["language"] and other is not passage]
        strange = [other for other in passages if other["language"] != passage["language"]]
        others = [own[(number + step) % len(own)] for step in range(min(STRANGERS, len(own)))]
        others += [strange[(number + step) % len(strange)] for step in range(STRANGERS - len(others))]
        texts = [other["sentences"][other["matters"][number % len(other["matters"])]] for other in others]
        near = 1 + number % (STRANGERS + 1)
        texts.insert(near - 1, about)
        name = f"near-{number:02d}"
        write_json(FOLDER / "vectors" / f"{name}.json", {"texts": [anchor, *texts], "near": near})
        yield entry(
            f"vectors/{name}",
            "vectors",
            f"{name}.json",
            language=passage["language"],
            licence=OWN,
            origin=f"passage {passage['id']} among {', '.join(other['id'] for other in others)}",
        )


def scenes(corpus: Path) -> Iterator[dict[str, Any]]:
    """Pictures of films and stills in which somebody looked what is to be seen (seen.toml)."""
    listed = tomllib.loads((FOLDER / "seen.toml").read_text(encoding="utf-8"))["picture"]
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    for each in listed:
        row = rows[each["file"]]
        name = slug(f"{Path(each['file']).stem}-{each.get('at_s', 0):g}")
        frame_at(corpus / each["file"], each.get("at_s")).save(FOLDER / "labels" / f"{name}.png", optimize=True)
        yield entry(
            f"labels/{name}",
            "labels",
            f"{name}.png",
            language=None,
            truth=json.dumps({"things": each["things"], "people": each["people"]}),
            licence=row["licence"],
            origin=origin_of(row),
            repository=row["source_repo"].removeprefix("github.com/"),
        )


def frame_at(path: Path, at_s: float | None) -> Image.Image:
    """A still, or the frame of a film that is shown at a time, upright, its longer side `SEEN_SIDE` at most."""
    if at_s is None:
        with Image.open(path) as still:
            found = ImageOps.exif_transpose(still).convert("RGB")
    else:
        with av.open(str(path)) as container:
            frames = container.decode(container.streams.video[0])
            shown = next(frame for frame in frames if float(frame.time or 0) >= at_s)
            found = shown.to_image().rotate(shown.rotation, expand=True)
    found.thumbnail((SEEN_SIDE, SEEN_SIDE))
    return found


def grounds() -> Iterator[dict[str, Any]]:
    """Pictures without a thing in them: who sees people or harm there invents them."""
    dice = np.random.default_rng(11)
    shape = (180, 320, 3)
    pictures = {
        "black": np.zeros(shape),
        "white": np.full(shape, 255.0),
        "noise": dice.uniform(0, 255, shape),
        "graded": np.broadcast_to(np.linspace(30, 220, shape[1])[None, :, None], shape),
    }
    for name, codes in pictures.items():
        Image.fromarray(np.asarray(codes, np.uint8)).save(FOLDER / "labels" / f"{name}.png", optimize=True)
        yield entry(
            f"labels/{name}",
            "labels",
            f"{name}.png",
            language=None,
            truth=json.dumps({"things": [], "people": False}),
            licence=OWN,
            origin="computed",
        )


def compositions(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Three passages an item, of one language; of languages with few, in several orders."""
    by_language: dict[str, list[Passage]] = {}
    for passage in passages:
        by_language.setdefault(passage["language"], []).append(passage)
    english = by_language["en"]
    for number in range(EN_SETS):
        steps = (0, 7, 13) if number < len(english) else (0, 3, 11)
        yield [english[(number + step) % len(english)] for step in steps]
    for language in ("de", "fr", "es"):
        own = by_language[language]
        yield own
        yield own[::-1]


def composed(chosen: Sequence[Passage], *, words_a_s: float, between_ms: int, topic_ms: int) -> dict[str, Any]:
    """A transcript (as words/transcript writes it) with which of its sentences matter, and where topics begin."""
    at = RATE_HZ // 2
    spoken: list[dict[str, Any]] = []
    segments, sentences, breaks = [], [], []
    for passage in chosen:
        breaks.append(len(sentences))
        for number, sentence in enumerate(passage["sentences"]):
            words = []
            for word in sentence.split():
                length = int(RATE_HZ / words_a_s * (0.5 + 0.1 * min(len(word), 10)))
                words.append({"text": word, "start": at, "end": at + length * 9 // 10, "confidence": 900})
                at += length
            span = {"start": words[0]["start"], "end": words[-1]["end"]}
            segments.append({**span, "first": len(spoken), "words": len(words)})
            spoken += words
            sentences.append({"text": sentence, "matters": number in passage["matters"], "topic": passage["id"]})
            at += RATE_HZ * between_ms // 1000
        at += RATE_HZ * (topic_ms - between_ms) // 1000
    language = chosen[0]["language"]
    track = {"track": 0, "language": language, "words": spoken, "segments": segments}
    transcript = {"rate_hz": RATE_HZ, "tracks": [track]}
    return {"duration": at, "transcript": transcript, "sentences": sentences, "breaks": breaks}


def captioned(passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
    """Words as they are spoken, slowly to very fast, with long pauses, and what captions of them must keep."""
    for number in range(CAPTION_ITEMS):
        chosen = [passages[number % len(passages)]]
        speed = (1.5, 2.5, 3.5, 4.5)[number % 4]
        document = composed(chosen, words_a_s=speed, between_ms=(80, 500, 6000)[number % 3], topic_ms=500)
        name = f"captioned-{number:02d}"
        write_json(FOLDER / "captions" / f"{name}.json", {**document, "rules": CAPTION_RULES})
        yield entry(
            f"captions/{name}",
            "captions",
            f"{name}.json",
            language=chosen[0]["language"],
            samples=document["duration"],
            licence=OWN,
            origin=f"passage {chosen[0]['id']} at {speed} words a second",
        )


def copy_licences(corpus: Path, entries: Sequence[dict[str, Any]]) -> None:
    """The licences of the repositories that something here is from."""
    (FOLDER / LICENCES).mkdir(exist_ok=True)
    for repository in sorted({each["repository"] for each in entries if "repository" in each}):
        prefix = repository.replace("/", "+") + "__"
        found = [p for p in (corpus / "licenses").iterdir() if p.name.startswith(prefix) and "FLAC" not in p.name]
        if not found:
            raise SystemExit(f"the corpus holds no licence of {repository}")
        for path in found:
            shutil.copyfile(path, FOLDER / LICENCES / path.name)


def slug(name: str) -> str:
    """A name as a file name."""
    return "".join(character if character.isalnum() else "-" for character in name.lower()).strip("-")


def decoded(path: Path) -> Samples:
    """The sound of a clip, 16 kHz, one channel."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    blocks = []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            blocks += [each.to_ndarray().reshape(-1) for each in resampler.resample(frame)]
        blocks += [each.to_ndarray().reshape(-1) for each in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.int16)


def write_flac(path: Path, samples: Samples) -> None:
    """Samples as FLAC, 16 kHz, one channel."""
    with av.open(str(path), "w", format="flac", container_options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("flac", rate=RATE_HZ, layout="mono", options={"compression_level": "12"})
        stream.codec_context.format = "s16"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def write_json(path: Path, document: dict[str, Any]) -> None:
    """A document on one line."""
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
