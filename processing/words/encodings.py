"""Text files of unknown encoding, as Unicode.

Belongs here: the order in which encodings are tried. Does not belong here: what the text says.
"""

from __future__ import annotations

import codecs

from charset_normalizer import from_bytes

from processing.failures import BadInput

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(content: bytes) -> tuple[str, str]:
    """The text and the name of its encoding: by its mark, else UTF-8 where it is valid, else the likeliest.

    Raises BadInput for what is no text in any.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            try:
                return content.decode(name), name
            except UnicodeDecodeError:
                break
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        best = from_bytes(content).best()
        if best is None:
            raise BadInput("the subtitles beside it are no text", cure="save them as UTF-8, then retry") from None
        return str(best), best.encoding
    if "\x00" in text:
        raise BadInput("the subtitles beside it are no text", cure="save them as UTF-8, then retry")
    return text, "utf-8"
