"""Language codes as containers write them, turned into BCP 47 tags.

Belongs here: the mapping and its table. Does not belong here: finding out which language is spoken. Pure.
"""

from __future__ import annotations

import re

# ISO 639-2 (both its forms) to the shortest ISO 639-1 code, as BCP 47 (RFC 5646, section 2.2.1) asks; codes without a
# two-letter form are tags as they are.
_CODES = (
    "afr:af amh:am ara:ar asm:as aze:az bel:be ben:bn bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cym:cy dan:da "
    "deu:de ell:el eng:en epo:eo est:et eus:eu fas:fa fin:fi fra:fr fry:fy gle:ga glg:gl guj:gu hat:ht hau:ha "
    "heb:he hin:hi hrv:hr hun:hu hye:hy ibo:ig ind:id isl:is ita:it jav:jv jpn:ja kan:kn kat:ka kaz:kk khm:km "
    "kin:rw kir:ky kor:ko kur:ku lao:lo lat:la lav:lv lit:lt ltz:lb mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn "
    "mri:mi msa:ms mya:my nep:ne nld:nl nno:nn nob:nb nor:no oci:oc ori:or pan:pa pol:pl por:pt pus:ps roh:rm "
    "ron:ro rus:ru san:sa sin:si slk:sk slv:sl sme:se sna:sn snd:sd som:so spa:es sqi:sq srp:sr swa:sw swe:sv "
    "tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tir:ti ton:to tur:tr uig:ug ukr:uk urd:ur uzb:uz vie:vi wol:wo "
    "xho:xh yid:yi yor:yo zho:zh zul:zu "
    "alb:sq arm:hy baq:eu bur:my chi:zh cze:cs dut:nl fre:fr geo:ka ger:de gre:el ice:is mac:mk mao:mi may:ms "
    "per:fa rum:ro scc:sr scr:hr slo:sk tib:bo wel:cy"
)
_SHORT = dict(pair.split(":") for pair in _CODES.split())
_NOTHING = {"und", "mul", "zxx", "mis", "unk", "xxx", "qaa"}
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


def bcp47(code: str | None) -> str | None:
    """The BCP 47 tag of a container's language code ("ger", "deu" and "DE_at" to "de", "de", "de-AT"), or None.

    None for codes that name no language ("und", "zxx") and for text that is no code at all.
    """
    if not code:
        return None
    primary, *rest = code.strip().replace("_", "-").lower().split("-")
    primary = _SHORT.get(primary, primary)
    if primary in _NOTHING or not _TAG.fullmatch("-".join([primary, *rest])):
        return None
    return "-".join([primary, *(_cased(part) for part in rest)])


def _cased(subtag: str) -> str:
    """Regions in capitals and scripts with one, as RFC 5646 section 2.1.1 recommends."""
    if len(subtag) == 2:
        return subtag.upper()
    return subtag.title() if len(subtag) == 4 and subtag.isalpha() else subtag
