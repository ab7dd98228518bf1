"""What a file is, by its first bytes alone. The name of a file is never looked at.

Belongs here: signatures of the formats that are accepted, and of those that are refused by name because they pretend
to be media. Does not belong here: opening anything with a media library (opening) or saying what is inside
(media_info). Intake uses this in the parent process to choose a job, so it imports no media library.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

HEAD_BYTES = 131_072  # an mp3 may start with 100 kB of something else; everything else shows itself in 12 kB
MOOV_BYTES = 1 << 20  # of a `moov` box at the end of a file; handlers come before the large sample tables of track 8

MediaKind = Literal["video", "audio", "image"]

MOV = "mov,mp4,m4a,3gp,3g2,mj2"
MATROSKA = "matroska,webm"

_VIDEO_DEMUXERS = {MOV, MATROSKA, "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "h264", "hevc", "obu", "ivf", "dv"}
_AUDIO_DEMUXERS = {"wav", "w64", "aiff", "caf", "au", "flac", "ogg", "mp3", "aac", "amr", "ac3", "eac3", "wv", "ape"}
_IMAGE_DEMUXERS = {"png_pipe", "jpeg_pipe", "gif", "webp_pipe", "tiff_pipe", "bmp_pipe"}
TEXT_DEMUXERS = frozenset({"srt", "webvtt"})  # of texts beside a medium; never of a source
DEMUXERS = frozenset(_VIDEO_DEMUXERS | _AUDIO_DEMUXERS | _IMAGE_DEMUXERS | {"mpegvideo"})


@dataclass(frozen=True, slots=True)
class Magic:
    """The verdict of the first bytes.

    `kind` is the job to start (None: refused); `format_name` the libavformat demuxer to force; `label` what a person
    would call it; `refusal` the sentence why it is not accepted, empty when it is.
    """

    kind: MediaKind | None
    format_name: str | None
    label: str
    refusal: str = ""


def _refused(label: str, sentence: str) -> Magic:
    return Magic(None, None, label, sentence)


def sniff(head: bytes) -> Magic:
    """What a file that starts with `head` is. `head` should hold `HEAD_BYTES` or the whole file.

    Where the head does not tell sound from moving pictures (an MP4 with its index at the end), video is assumed.
    """
    if not head:
        return _refused("empty file", "the file is empty (zero bytes)")
    for detect in (_signature, _riff, _iso_media, _matroska, _ogg, _asf, _mxf, _elementary, _transport_stream):
        if found := detect(head):
            return found
    return _disguise(head) or _mpeg_audio(head) or _unknown(head)


def sniff_path(path: Path) -> Magic:
    """`sniff` for a file on disk; also follows an ID3 tag or the boxes of an MP4 beyond the head. Raises OSError."""
    with path.open("rb") as file:
        return sniff_file(file)


def sniff_file(file: BinaryIO) -> Magic:
    """`sniff_path` for an open file, which stands at its beginning and can seek. Raises OSError."""
    head = file.read(HEAD_BYTES)
    magic = sniff(head)
    if magic.format_name == MOV and magic.kind == "video":
        handlers = _handlers(head) or _handlers(_moov_beyond_head(file))
        return Magic(_kind_of_handlers(handlers), MOV, magic.label)
    if head.startswith(b"ID3") and (skip := _id3_bytes(head)) >= len(head):
        file.seek(skip)
        return _after_id3(file.read(4096))
    return magic


_SIGNATURES: tuple[tuple[bytes, MediaKind, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image", "png_pipe", "PNG"),
    (b"\xff\xd8\xff", "image", "jpeg_pipe", "JPEG"),
    (b"GIF87a", "image", "gif", "GIF"),
    (b"GIF89a", "image", "gif", "GIF"),
    (b"II*\x00", "image", "tiff_pipe", "TIFF"),
    (b"MM\x00*", "image", "tiff_pipe", "TIFF"),
    (b"fLaC", "audio", "flac", "FLAC"),
    (b"#!AMR", "audio", "amr", "AMR"),
    (b"caff\x00\x01", "audio", "caf", "CAF"),
    (b".snd", "audio", "au", "AU"),
    (b"wvpk", "audio", "wv", "WavPack"),
    (b"MAC ", "audio", "ape", "Monkey's Audio"),
    (b"riff\x2e\x91\xcf\x11", "audio", "w64", "Wave64"),
    (b"FLV\x01", "video", "flv", "Flash Video"),
    (b"DKIF\x00\x00", "video", "ivf", "IVF"),
    (b"\x1f\x07\x00", "video", "dv", "DV"),
    (b"\x00\x00\x01\xba", "video", "mpeg", "MPEG program stream"),
    (b"\x00\x00\x01\xb3", "video", "mpegvideo", "MPEG-2 video"),
    (b"\x12\x00\x0a", "video", "obu", "AV1"),
)

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", "a JPEG XL picture, for which there is no decoder,"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture, for which there is no decoder,"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "xz-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript program"),
)


def _signature(head: bytes) -> Magic | None:
    for mark, kind, format_name, label in _SIGNATURES:
        if head.startswith(mark):
            return Magic(kind, format_name, label)
    for mark, what in _REFUSED:
        if head.startswith(mark):
            return _refused(what, f"the file is {what} and is not accepted as media")
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return Magic("audio", "aiff", "AIFF")
    if head.startswith(b"BM") and len(head) >= 30 and 12 <= int.from_bytes(head[14:18], "little") <= 124:
        return Magic("image", "bmp_pipe", "BMP")
    if head.startswith(b"ID3"):
        return _after_id3(head[_id3_bytes(head) :])
    return None


def _riff(head: bytes) -> Magic | None:
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return None
    form = head[8:12]
    if form == b"WAVE":
        return Magic("audio", "wav", "WAV")
    if form == b"WEBP":
        return Magic("image", "webp_pipe", "WebP")
    if form in (b"AVI ", b"AVIX"):
        silent = b"vids" in head or b"auds" not in head
        return Magic("video" if silent else "audio", "avi", "AVI")
    return None


# ISO/IEC 14496-12 (boxes), 23008-12 (HEIF brands), AVIF 1.1 section 4.2
_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx", b"udta"}
_IMAGE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "}
_HANDLER = re.compile(rb"hdlr\x00\x00\x00\x00.{4}(vide|soun)", re.DOTALL)


def _iso_media(head: bytes) -> Magic | None:
    if len(head) < 8 or head[4:8] not in _FIRST_BOXES:
        return None
    size = int.from_bytes(head[:4], "big")
    if 1 < size < 8:
        return None
    major = head[8:12] if head[4:8] == b"ftyp" else b""
    if major in _IMAGE_BRANDS:
        brands = {head[at : at + 4] for at in range(16, min(size, len(head)), 4)} | {major}
        return Magic("image", MOV, "AVIF" if brands & {b"avif", b"avis"} else "HEIF")
    if major in _AUDIO_BRANDS:
        return Magic("audio", MOV, "MPEG-4 audio")
    return Magic(_kind_of_handlers(_handlers(head)), MOV, "QuickTime" if major in (b"qt  ", b"") else "MP4")


def _handlers(data: bytes) -> set[bytes]:
    return {found.group(1) for found in _HANDLER.finditer(data)}


def _kind_of_handlers(handlers: set[bytes]) -> MediaKind:
    return "audio" if handlers == {b"soun"} else "video"


def _moov_beyond_head(file: BinaryIO) -> bytes:
    """The start of a `moov` box that lies anywhere in the file, or nothing. Follows at most 64 top-level boxes."""
    offset = 0
    for _ in range(64):
        file.seek(offset)
        header = file.read(16)
        if len(header) < 8:
            return b""
        size, name = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            size = int.from_bytes(header[8:16], "big")
        if name == b"moov":
            file.seek(offset)
            return file.read(min(size, MOOV_BYTES))
        if size < 8:
            return b""
        offset += size
    return b""


def _matroska(head: bytes) -> Magic | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    label = "WebM" if b"webm" in head[:64] else "Matroska"
    tracks = head.find(b"\x16\x54\xae\x6b")
    if tracks < 0:
        return Magic("video", MATROSKA, label)
    moving = b"\x83\x81\x01" in head[tracks:]  # TrackType = video, RFC 9559 section 5.1.4.1.3
    sounding = b"\x83\x81\x02" in head[tracks:]
    return Magic("audio" if sounding and not moving else "video", MATROSKA, label)


def _ogg(head: bytes) -> Magic | None:
    if not head.startswith(b"OggS"):
        return None
    pages = head[:4096]
    moving = any(mark in pages for mark in (b"\x80theora", b"BBCD\x00", b"\x01video"))
    return Magic("video" if moving else "audio", "ogg", "Ogg")


def _asf(head: bytes) -> Magic | None:
    if not head.startswith(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")):
        return None
    moving = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b") in head  # ASF_Video_Media
    sounding = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b") in head  # ASF_Audio_Media
    return Magic("audio" if sounding and not moving else "video", "asf", "Windows Media")


def _mxf(head: bytes) -> Magic | None:
    start = head.find(bytes.fromhex("060e2b34020501010d010201"), 0, 65_536)  # SMPTE ST 377-1: run-in below 64 KiB
    if start < 0:
        return None
    essence = set(re.findall(rb"\x06\x0e\x2b\x34\x04\x01\x01.\x0d\x01\x03\x01\x02(.)", head, re.DOTALL))
    wave_only = essence and essence <= {b"\x06", b"\x7f", b"\x0a"}  # ST 382 wave, generic, A-law
    return Magic("audio" if wave_only else "video", "mxf", "MXF")


def _elementary(head: bytes) -> Magic | None:
    """Raw H.264 and HEVC (Annex B of either): a start code, then a parameter set or an access unit delimiter."""
    code = re.match(rb"\x00{2,3}\x01(..)", head, re.DOTALL)
    if not code:
        return _dolby(head)
    first, second = code.group(1)
    if second == 1 and first >> 7 == 0 and (first >> 1) & 0x3F in (32, 33, 35):
        return Magic("video", "hevc", "HEVC stream")
    if first >> 7 == 0 and first & 0x1F in (7, 9):
        return Magic("video", "h264", "H.264 stream")
    return None


def _dolby(head: bytes) -> Magic | None:
    if head.startswith(b"\x0b\x77") and len(head) > 5:
        return Magic("audio", "eac3" if head[5] >> 3 > 10 else "ac3", "Dolby Digital")
    return None


def _transport_stream(head: bytes) -> Magic | None:
    """ISO/IEC 13818-1: 188-byte packets, alone, after a 4-byte time code, or with 16 bytes of parity."""
    for stride in (188, 192, 204):
        for start in range(min(stride, len(head))):
            marks = head[start : start + 8 * stride : stride]
            if len(marks) >= 5 and set(marks) == {0x47}:
                return Magic("video", "mpegts", "MPEG transport stream")
    return None


def _id3_bytes(head: bytes) -> int:
    """Length of an ID3v2 tag (ID3v2.4 section 3.1): four bytes of seven bits, plus the header."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10 + (10 if len(head) > 5 and head[5] & 0x10 else 0)


def _after_id3(rest: bytes) -> Magic:
    if rest.startswith(b"fLaC"):
        return Magic("audio", "flac", "FLAC")
    aac = _adts_chain(rest, 0) if rest else False
    return Magic("audio", "aac", "AAC stream") if aac else Magic("audio", "mp3", "MP3")


_BIT_RATES = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # kbit/s by (version bit, layer bits), ISO/IEC 11172-3 table 3-B and 13818-3; layers II and III of MPEG-2 agree
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_CHAIN = 4  # frames in a row that fit together; chance finds two in 100 kB of noise, never four


def _mpeg_frame_bytes(head: bytes, at: int) -> int:
    """Length of the MPEG audio frame at `at`, or 0 where there is none."""
    if at + 4 > len(head) or head[at] != 0xFF or head[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[at + 1] >> 3 & 3, head[at + 1] >> 1 & 3
    rate_index, sample_index, padding = head[at + 2] >> 4, head[at + 2] >> 2 & 3, head[at + 2] >> 1 & 1
    if version == 1 or layer == 0 or rate_index in (0, 15) or sample_index == 3:
        return 0
    rows = _BIT_RATES[(3, layer)] if version == 3 else _BIT_RATES[(2, 3 if layer == 3 else 2)]
    bits_per_s, rate_hz = rows[rate_index] * 1000, _SAMPLE_RATES[version][sample_index]
    if layer == 3:
        return (12 * bits_per_s // rate_hz + padding) * 4
    return (72 if layer == 1 and version != 3 else 144) * bits_per_s // rate_hz + padding


def _adts_chain(head: bytes, at: int) -> bool:
    """Whether AAC frames in ADTS (ISO/IEC 14496-3, 1.A.2.2) follow each other from `at`."""
    for count in range(_CHAIN):
        if at >= len(head) and count >= 1:
            return True
        if at + 7 > len(head) or head[at] != 0xFF or head[at + 1] & 0xF6 != 0xF0:
            return False
        length = (head[at + 3] & 3) << 11 | head[at + 4] << 3 | head[at + 5] >> 5
        if length < 8:
            return False
        at += length
    return True


def _mpeg_audio(head: bytes) -> Magic | None:
    """MP3 or ADTS from the first byte, or after a prefix of something else that fits into the head."""
    at = head.find(b"\xff")
    while at >= 0:
        if _adts_chain(head, at) and at == 0:
            return Magic("audio", "aac", "AAC stream")
        cursor, count = at, 0
        while count < _CHAIN and (length := _mpeg_frame_bytes(head, cursor)):
            cursor, count = cursor + length, count + 1
        if count == _CHAIN or (at == 0 and count and cursor >= len(head)):
            return Magic("audio", "mp3", "MP3")
        at = head.find(b"\xff", at + 1)
    return None


_TEXT_DISGUISES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"#EXTM3U"), "an HLS playlist, which only points at other files"),
    (re.compile(rb"ffconcat\s+version"), "an ffconcat script, which only points at other files"),
    (re.compile(rb"v=0\r?\n(.*\r?\n)*?[om]="), "an SDP session description, which only points at the network"),
    (re.compile(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"(<\?xml[^>]*>\s*)?<MPD"), "a DASH manifest, which only points at other files"),
    (re.compile(rb"(?i)(<!doctype html|<html)"), "an HTML page"),
    (re.compile(rb"<\?xml"), "an XML document"),
    (re.compile(rb"WEBVTT"), "a subtitle file without its media"),
    (re.compile(rb"\d+\r?\n\d\d:\d\d:\d\d[,.]\d{3} -->"), "a subtitle file without its media"),
)


def _disguise(head: bytes) -> Magic | None:
    text = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, what in _TEXT_DISGUISES:
        if pattern.match(text):
            return _refused(what, f"the file is {what} and holds no media")
    return None


def _unknown(head: bytes) -> Magic:
    sample = head[:4096]
    printable = sum(byte in b"\t\n\r" or byte >= 32 for byte in sample)
    if b"\x00" not in sample and printable >= 0.97 * len(sample):
        return _refused("text", "the file is text, not media")
    if not any(sample):
        return _refused("zeros", "the file holds only zeros: an upload that was never filled")
    return _refused("unknown", "the file is of no known media format")
