"""Stills: decoded upright in sRGB, and made small in three formats."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from processing.contracts.thumbnails import contract, decode_first
from processing.failures import BadInput
from processing.manifest import Outcome
from processing.picture import thumbnail_plan, thumbnails
from processing.picture.stills import decode_still
from processing.picture.thumbnail_plan import BOXES, TALLEST, fitted
from processing.probe.media_info import facts_of
from processing.work import Task
from tests.corpus import corpus_file
from tests.media import as_input, make_still, numbered_picture, read_number, source_task


def decoded(file: Path) -> Image.Image:
    return decode_still(file, facts_of(file))


def thumbnails_task(file: Path, scratch: Path) -> Task:
    info = facts_of(file)
    task = source_task(file, scratch, parameters=thumbnail_plan.parameters(info, {}))
    return replace(task, inputs={"media_info": as_input("media_info", task.out, info)})


def made_task(file: Path, scratch: Path) -> Task:
    task = thumbnails_task(file, scratch)
    return replace(task, made=as_input("thumbnails", task.out, thumbnails.make(task).facts))


def broken(task: Task) -> set[str]:
    return {verdict.clause for verdict in contract(task) if verdict.outcome is Outcome.FAILED}


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "GIF"])
def test_every_accepted_format_is_decoded(tmp_path: Path, image_format: str) -> None:
    picture = decoded(make_still(tmp_path / "x", image_format=image_format))
    assert (picture.mode, picture.size) == ("RGB", (320, 240))
    assert read_number(np.asarray(picture)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_shown_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = make_still(tmp_path / "x", image_format="JPEG", exif=exif)
    still, picture = facts_of(file)["image"], decoded(file)
    assert picture.size == (still["width"], still["height"]) == ((240, 320) if orientation >= 5 else (320, 240))
    assert still["orientation"] == orientation
    assert picture.getexif().get(0x0112) is None


def test_deep_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16)
    Image.fromarray(np.tile(ramp, (16, 1))).save(tmp_path / "x", "PNG")
    assert facts_of(tmp_path / "x")["image"]["bit_depth"] == 16
    grey = np.asarray(decoded(tmp_path / "x"))[0, :, 0].astype(int)
    assert np.abs(grey - np.arange(256)).max() <= 1


def test_transparency_survives_and_jpeg_gets_a_white_ground(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 32:] = (200, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "x", "PNG")
    task = made_task(tmp_path / "x", tmp_path / "s")
    assert not broken(task)
    with Image.open(task.out / "thumbnail-320.webp") as webp, Image.open(task.out / "thumbnail-320.jpg") as jpeg:
        assert webp.convert("RGBA").getpixel((4, 4))[3] == 0  # type: ignore[index]
        assert min(jpeg.getpixel((4, 4))) > 245  # type: ignore[arg-type]


def test_palettes_with_a_transparent_colour_keep_it(tmp_path: Path) -> None:
    picture = Image.new("P", (32, 32), 1)
    picture.putpalette([0, 0, 0, 10, 200, 10])
    picture.paste(0, (0, 0, 16, 32))
    picture.save(tmp_path / "x", "PNG", transparency=0)
    found = decoded(tmp_path / "x")
    assert (found.mode, found.getpixel((20, 5)), found.getpixel((5, 5))[3]) == (  # type: ignore[index]
        "RGBA", (10, 200, 10, 255), 0,
    )  # fmt: skip


def test_print_colours_are_turned_into_screen_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "x", "JPEG", quality=95)
    red, green, blue = decoded(tmp_path / "x").getpixel((9, 9))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 60


def test_a_profile_is_applied_and_does_not_travel(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = make_still(tmp_path / "x", icc_profile=lab)
    assert facts_of(file)["image"]["icc_profile"]
    picture = decoded(file)
    assert "icc_profile" not in picture.info
    assert np.abs(np.asarray(picture).astype(int) - numbered_picture(1, 320, 240)).max() <= 2


def test_a_profile_of_other_colours_is_left_alone(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert decoded(make_still(tmp_path / "x", icc_profile=lab)).size == (320, 240)


def test_a_heic_is_put_together_from_its_tiles() -> None:
    picture = decoded(corpus_file("image/IMG_2682.heic"))
    pixels = np.asarray(picture).astype(int)
    assert picture.size == (4032, 3024)
    across_seam = np.abs(pixels[:, 511] - pixels[:, 512]).mean()
    beside_seam = np.abs(pixels[:, 507] - pixels[:, 508]).mean()
    assert across_seam < 1.5 * beside_seam + 1


def test_hdr_light_is_mapped_into_the_screens_range() -> None:
    """Pillow cuts PQ codes to eight bits, which looks grey and dark: white must come out bright."""
    pixels = np.asarray(decoded(corpus_file("image/colors_hdr_rec2020.avif")))
    assert pixels.max() > 240
    assert pixels.std() > 40


def test_half_a_photo_is_refused(tmp_path: Path) -> None:
    whole = make_still(tmp_path / "x", image_format="JPEG").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="cut off"):
        facts_of(tmp_path / "cut")


@pytest.mark.parametrize("damage", [b"meta", b"iloc", b"grid", b"ispe", b"ipma", b"dimg"])
def test_a_damaged_heic_index_is_refused_in_a_sentence(tmp_path: Path, damage: bytes) -> None:
    data = corpus_file("image/IMG_2682.heic").read_bytes()
    at = data.index(damage)
    (tmp_path / "x").write_bytes(
        data[:at] + b"\xff\xff\xff\xff" + data[at + 4 : at + 8] + b"\xff" * 12 + data[at + 20 :]
    )
    with pytest.raises(BadInput):
        facts_of(tmp_path / "x")


@pytest.mark.parametrize(
    ("size", "box", "wanted"),
    [((4000, 3000), 320, (320, 240)), ((200, 100), 320, (200, 100)), ((100, 9000), 320, (14, 1280)),
     ((9000, 100), 320, (320, 4)), ((9000, 1), 320, (320, 1)), ((320, 240), 320, (320, 240))],
)  # fmt: skip
def test_thumbnails_keep_the_shape_and_never_grow(size: tuple[int, int], box: int, wanted: tuple[int, int]) -> None:
    assert fitted(*size, box) == wanted
    assert fitted(*size, box)[1] <= max(size[1], TALLEST * box)


def test_a_small_picture_is_made_once_not_once_a_box() -> None:
    sizes = thumbnail_plan.parameters({"image": {"width": 200, "height": 90}}, {})["sizes"]
    assert sizes == [{"box": BOXES[0], "width": 200, "height": 90}]


def test_moving_pictures_have_no_thumbnails() -> None:
    assert thumbnail_plan.applies({"kind": "image"}, {}) is None
    assert "poster" in str(thumbnail_plan.applies({"kind": "video"}, {}))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photo")
    return make_still(folder / "x", width=1400, height=1000, image_format="JPEG", quality=92)


@pytest.fixture(scope="module")
def made(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return made_task(photo, tmp_path_factory.mktemp("made"))


def copied(task: Task, scratch: Path) -> Task:
    """The same made thumbnails in a folder of their own, to be spoilt."""
    assert task.made is not None
    shutil.copytree(task.out, scratch / "out")
    return replace(task, scratch=scratch, made=replace(task.made, folder=scratch / "out"))


def test_thumbnails_keep_their_contract(made: Task) -> None:
    task = made
    assert not broken(task)
    assert sorted(path.name for path in task.out.iterdir()) == sorted(
        f"thumbnail-{box}.{extension}" for box in BOXES for extension in ("jpg", "webp", "avif")
    )
    assert task.made is not None
    assert {(entry["width"], entry["height"]) for entry in task.made.facts["files"]} == {(320, 229), (1280, 914)}


def blank(path: Path) -> None:
    with Image.open(path) as image:
        size = image.size
    Image.new("RGB", size, (120, 120, 120)).save(path)


def halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def swap_sizes(path: Path) -> None:
    other = path.with_name(path.name.replace("320", "1280"))
    shutil.copy(other, path)


def another_picture(path: Path) -> None:
    with Image.open(path) as image:
        size = image.size
    Image.fromarray(255 - numbered_picture(1, *size)).save(path)


@pytest.mark.parametrize("extension", ["jpg", "webp", "avif"])
@pytest.mark.parametrize(
    ("mutate", "clause"),
    [(halve, ""), (blank, "is not blank"), (swap_sizes, "has its size"), (another_picture, "shows the original"),
     (Path.unlink, "decodes")],
)  # fmt: skip
def test_the_contract_notices_spoilt_thumbnails(
    made: Task, tmp_path: Path, extension: str, mutate: Callable[[Path], Any], clause: str
) -> None:
    task = copied(made, tmp_path)
    mutate(task.out / f"thumbnail-320.{extension}")
    found = broken(task)
    assert any(name.startswith("thumbnail-320") and clause in name for name in found)
    assert not any(name.startswith("thumbnail-1280") for name in found)


def test_the_contract_notices_thumbnails_of_another_picture(made: Task, tmp_path: Path) -> None:
    inverted = tmp_path / "inverted"
    Image.fromarray(255 - numbered_picture(1, 1400, 1000)).save(inverted, "PNG")
    other = made_task(inverted, tmp_path / "2")
    assert any("shows the original" in clause for clause in broken(replace(made, made=other.made)))


def strip(folder: Path, size: tuple[int, int], *, other: bool = False) -> Path:
    """Bands along the longer side, seen however thin the strip becomes, and a ramp across, which is not."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    along = (rows if size[1] > size[0] else columns) * (37 if other else 12) // max(size) % 4 * 80
    across = (columns if size[1] > size[0] else rows) * 255 // max(min(size) - 1, 1)
    folder.mkdir()
    Image.fromarray(np.stack([along, across, along], axis=-1).astype(np.uint8)).save(folder / "x", "PNG")
    return folder / "x"


@pytest.mark.parametrize(
    "size",
    [(16_384, 2), (2, 16_384), (16_384, 1), (1, 16_384), (1, 1), (2000, 3), (3, 2000), (3000, 7), (1, 1000)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_thumbnails_of_a_strip_keep_their_contract(tmp_path: Path, size: tuple[int, int]) -> None:
    """A side that would be a fraction of a pixel is one pixel, and eight fields do not fit into it."""
    assert not broken(made_task(strip(tmp_path / "1", size), tmp_path / "s"))


@pytest.mark.parametrize("size", [(16_384, 2), (2, 16_384), (2000, 3), (7, 3000)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("extension", ["jpg", "webp", "avif"])
def test_the_contract_notices_spoilt_thumbnails_of_strips(
    tmp_path: Path, size: tuple[int, int], extension: str
) -> None:
    task = made_task(strip(tmp_path / "1", size), tmp_path / "s")
    of_another = made_task(strip(tmp_path / "2", size, other=True), tmp_path / "o")
    name = f"thumbnail-320.{extension}"
    shutil.copy(of_another.out / name, task.out / name)
    assert f"{name} shows the original" in broken(task)
    blank(task.out / name)
    assert f"{name} is not blank" in broken(task)


@pytest.mark.parametrize(
    ("size", "stretched"), [((16_384, 2), (320, 2)), ((2, 16_384), (2, 1280)), ((3000, 7), (320, 2))]
)
def test_a_stretched_strip_is_not_excused_by_its_thinness(
    tmp_path: Path, size: tuple[int, int], stretched: tuple[int, int]
) -> None:
    """Only a side of one pixel may miss the shape, and only because there is no half of a pixel."""
    task = made_task(strip(tmp_path / "1", size), tmp_path / "s")
    assert task.made is not None
    for entry in task.made.facts["files"]:
        if entry["box"] == BOXES[0]:
            with Image.open(task.out / entry["path"]) as image:
                image.convert("RGB").resize(stretched).save(task.out / entry["path"], image.format)
    assert "thumbnail-320.jpg keeps the shape" in broken(task)


def test_a_picture_of_one_colour_may_have_thumbnails_of_one_colour(tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), (10, 10, 10)).save(tmp_path / "x", "PNG")
    assert not broken(made_task(tmp_path / "x", tmp_path / "s"))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


REPEAT = """
import sys
from pathlib import Path
from tests.test_thumbnails import digests, made_task
print(digests(made_task(Path(sys.argv[1]), Path(sys.argv[2])).out))
"""


def test_thumbnails_are_the_same_bytes_in_warm_and_in_fresh_processes(photo: Path, made: Task, tmp_path: Path) -> None:
    """Class A: other encodes of other sizes in between leave dirty memory behind, where some encoders differ."""
    first = digests(made.out)
    for number, width in enumerate((417, 961, 1216)):
        made_task(make_still(tmp_path / f"other{number}", width=width, height=333), tmp_path / f"o{number}")
    again = digests(made_task(photo, tmp_path / "2").out)
    command = [sys.executable, "-c", REPEAT, str(photo), str(tmp_path / "3")]
    fresh = subprocess.run(command, capture_output=True, check=True, text=True, cwd=Path(__file__).parents[1]).stdout
    assert first == again
    assert str(first) == fresh.strip()


def test_the_judge_of_thumbnails_sees_transparency_in_avif(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 32:] = (0, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "x", "AVIF", max_threads=1)
    seen = np.asarray(decode_first(tmp_path / "x").convert("L"))
    assert seen[:, :28].min() > 240
    assert seen[:, 36:].max() < 15
