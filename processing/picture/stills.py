"""One upright 8-bit sRGB picture out of any still that is accepted.

Belongs here: decoding, turning, colour and depth of stills. Does not belong here: sizes and files that are made of
them (thumbnails) or what is reported of them (probe/still_info).

Who decodes what: Pillow decodes PNG, JPEG, GIF, TIFF, BMP, WebP (FFmpeg cannot decode animated WebP) and AVIF of
ordinary dynamic range (it applies alpha, palettes, CMYK and the file's turning). PyAV decodes HEIC, whose tiles are
put together here, and HDR AVIF, whose ten bits Pillow would cut to eight without mapping the light.

What is lost, knowingly: pictures of 16 bits are rounded to 8 (colour PNG by Pillow, which drops the lower byte);
embedded profiles are converted to sRGB, perceptual intent; PQ and HLG go through the same curve as video; of an
animation only the first picture is taken; the transparency of HDR AVIF and HEIC is dropped.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, Image, ImageCms

from processing.failures import BadInput, OutOfBudget, Transient
from processing.picture import tone
from processing.picture.geometry import Orientation, from_exif
from processing.probe.heif import StillItem, read_still_item
from processing.probe.opening import MAX_PIXELS, MAX_TILES, demuxed, open_media, reading_failure

Pixels = npt.NDArray[np.uint8]

PILLOW_FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF")  # nothing else is ever tried
# Plugins raise what their parsing happens to raise; fuzzing found the first five, the others are their neighbours.
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, RuntimeError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError,
    struct.error, MemoryError,
)  # fmt: skip
CURE = "send it again from the original"
BAND_ROWS = 128  # of an HDR picture at a time: its light is computed in doubles, 100 megapixels would take 2.4 GB
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # workers decode on one thread; Pillow would take every core
_TRANSPOSE = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def decode_still(path: Path, info: Mapping[str, Any]) -> Image.Image:
    """The picture as a person should see it: upright, sRGB, mode RGB, or RGBA where it has transparency.

    `info` are the facts of media_info. Raises `BadInput` where the picture cannot be decoded whole.
    """
    still = info["image"]
    orientation = from_exif(still["orientation"])
    if still["decoder"] == "pyav":
        picture = upright(_decode_tiles(path, read_still_item(path), still["hdr"]), orientation)
    else:
        with open_pillow(path) as image:
            picture = in_srgb(upright(loaded(image), orientation), image.info.get("icc_profile"))
    picture.info.clear()  # Pillow would write the original's profile and comments into every copy
    return picture.convert("RGB") if _is_opaque(picture) else picture


def _is_opaque(picture: Image.Image) -> bool:
    return picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255)


def open_pillow(path: Path) -> Image.Image:
    """A still opened by Pillow, not decoded yet; use it in a `with`. Raises `BadInput`, also for a bomb."""
    try:
        image = Image.open(path, formats=PILLOW_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large("") from error
    except PILLOW_ERRORS as error:
        raise _pillow_failure(error, "the picture is damaged: its header cannot be read") from error
    if image.width * image.height > MAX_PIXELS:
        size = f" ({image.width} x {image.height})"
        image.close()
        raise _too_large(size)
    return image


def _pillow_failure(error: Exception, cause: str) -> BadInput | OutOfBudget | Transient:
    """What Pillow's error means; one with a number comes from the disk, not from the picture."""
    if isinstance(error, MemoryError):
        return OutOfBudget(
            "the picture needs more memory than its worker may use",
            cure="send a smaller one, or raise memory_mb in the bounds of this derivative",
        )
    if isinstance(error, OSError) and error.errno:
        return reading_failure(error)
    cut = "truncated" in str(error).lower()
    return BadInput("the picture is cut off" if cut else cause, cure=CURE, detail=repr(error))


def _too_large(size: str) -> BadInput:
    return BadInput(
        f"the picture claims more than {MAX_PIXELS // 1_000_000} million pixels{size}", cure="make it smaller"
    )


def loaded(image: Image.Image) -> Image.Image:
    """The decoded first picture, in mode RGB or RGBA (CMYK stays CMYK: its profile is needed). Raises `BadInput`."""
    try:
        image.load()
        return _plain_mode(image)
    except Image.DecompressionBombError as error:
        raise _too_large("") from error
    except PILLOW_ERRORS as error:
        raise _pillow_failure(error, "the picture is damaged and cannot be decoded") from error


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "RGBA", "CMYK"):
        return image.copy()
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        eight = np.clip((grey + 128) // 257, 0, 255).astype(np.uint8)
        return Image.fromarray(eight).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(np.clip(np.nan_to_num(np.asarray(image)), 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def upright(image: Image.Image, orientation: Orientation) -> Image.Image:
    """The picture rotated clockwise and then mirrored as `orientation` asks."""
    if orientation.rotation_degrees:
        image = image.transpose(_TRANSPOSE[orientation.rotation_degrees])
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if orientation.mirrored else image


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB. Without a profile RGB is taken as sRGB; a profile that cannot be read counts as none."""
    if profile:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        color = image.convert("RGB") if alpha is not None else image
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(color, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None  # a profile of another colour space than the pixels', for one
        if converted is not None:
            if alpha is not None:
                converted.putalpha(alpha)
            return converted
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


def flattened(image: Image.Image) -> Image.Image:
    """The picture on white where it is transparent, mode RGB."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, (255, 255, 255))
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _decode_tiles(path: Path, item: StillItem, hdr: str | None) -> Image.Image:
    """The primary picture of a HEIF file, its tiles in place, before turning."""
    if item.width * item.height > MAX_PIXELS:
        raise _too_large(f" ({item.width} x {item.height})")
    places = {tile: index for index, tile in enumerate(item.tile_ids)}
    canvas: Pixels | None = None
    tile_width = tile_height = 0
    filled = 0
    with open_media(path, max_streams=MAX_TILES) as container:
        streams = [stream for stream in container.streams if stream.type == "video" and stream.id in places]
        for packet in demuxed(container, streams):
            for frame in packet.decode():
                if not isinstance(frame, av.VideoFrame):
                    continue
                tile = _rgb(frame, item, hdr)
                if canvas is None:
                    tile_height, tile_width = tile.shape[:2]
                    rows = -(-len(item.tile_ids) // item.columns)
                    _require_cover(item, tile_width * item.columns, tile_height * rows)
                    canvas = np.zeros((tile_height * rows, tile_width * item.columns, 3), np.uint8)
                row, column = divmod(places[packet.stream.id], item.columns)
                if tile.shape[:2] != (tile_height, tile_width):
                    raise BadInput("the picture's tiles differ in size", cure=CURE)
                canvas[row * tile_height :, column * tile_width :][:tile_height, :tile_width] = tile
                filled += 1
    if canvas is None or filled < len(item.tile_ids):
        raise BadInput(f"{len(item.tile_ids) - filled} of {len(item.tile_ids)} tiles cannot be decoded", cure=CURE)
    whole = Image.fromarray(canvas[: item.height, : item.width])
    return whole if hdr else in_srgb(whole, item.icc)


def _require_cover(item: StillItem, width: int, height: int) -> None:
    if width < item.width or height < item.height or width * height > 2 * MAX_PIXELS:
        raise BadInput(
            f"the tiles ({width} x {height}) do not cover the picture ({item.width} x {item.height})", cure=CURE
        )


def _rgb(frame: av.VideoFrame, item: StillItem, hdr: str | None) -> Pixels:
    """One decoded picture as RGB, uint8 (h, w, 3); the item's own colour description goes before the stream's."""
    matrix = item.nclx[2] if item.nclx else frame.colorspace
    full = item.nclx[3] if item.nclx else frame.color_range == 2 or frame.format.name.startswith("yuvj")
    arguments: dict[str, Any] = {
        "src_colorspace": matrix if matrix in (1, 4, 5, 6, 7, 9) else 5,  # unsaid means BT.601, as in JPEG
        "src_color_range": 2 if full else 1,
        "dst_color_range": 2,
        "interpolation": "BICUBIC",
        "threads": 1,
    }
    if not hdr:
        return np.asarray(frame.reformat(format="rgb24", **arguments).to_ndarray(), np.uint8)
    signal = frame.reformat(format="rgb48le", **arguments).to_ndarray()
    result = np.empty(signal.shape, np.uint8)
    for top in range(0, signal.shape[0], BAND_ROWS):
        band = signal[top : top + BAND_ROWS].astype(np.float64) / 65_535
        result[top : top + BAND_ROWS] = np.rint(tone.to_bt709(band, hdr) * 255).astype(np.uint8)
    return result
