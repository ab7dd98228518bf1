"""Telling a written language from others by its letters and its commonest words: enough to see that one is wrong.

Belongs here: the tables and the counting. Does not belong here: naming the language of any text, which needs more than
this; or what follows (contracts).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

from processing.words.answers.speech import folded
from processing.words.transcript_plan import primary

# Scripts by the first word of their characters' Unicode names. A language that is not here is written in Latin letters.
SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("ru", "uk", "be", "bg", "mk", "kk", "ky", "mn", "tg"), frozenset({"CYRILLIC"})),
    "sr": frozenset({"CYRILLIC", "LATIN"}),
    "el": frozenset({"GREEK"}),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "ug"), frozenset({"ARABIC"})),
    "he": frozenset({"HEBREW"}),
    "yi": frozenset({"HEBREW"}),
    **dict.fromkeys(("hi", "mr", "ne", "sa"), frozenset({"DEVANAGARI"})),
    "bn": frozenset({"BENGALI"}),
    "ta": frozenset({"TAMIL"}),
    "te": frozenset({"TELUGU"}),
    "kn": frozenset({"KANNADA"}),
    "ml": frozenset({"MALAYALAM"}),
    "gu": frozenset({"GUJARATI"}),
    "pa": frozenset({"GURMUKHI"}),
    "si": frozenset({"SINHALA"}),
    "th": frozenset({"THAI"}),
    "lo": frozenset({"LAO"}),
    "km": frozenset({"KHMER"}),
    "my": frozenset({"MYANMAR"}),
    "ka": frozenset({"GEORGIAN"}),
    "hy": frozenset({"ARMENIAN"}),
    "am": frozenset({"ETHIOPIC"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    **dict.fromkeys(("zh", "yue"), frozenset({"CJK"})),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
}
LATIN = frozenset({"LATIN"})
# Words that every text of a language is full of, and texts of the others mostly are not.
COMMON_WORDS = {
    "en": "the of and to that it was for you with this have are not but what they his from she which would there "
    "been is we your my at be he her all so do can if one who had were how when about out up your then them "
    "will",
    "de": "der die und das ist nicht ich sie ein mit auch auf dem den von zu wir sich aber wie noch nur wenn hat "
    "was für im es so an bei sind haben ihr kann eine einen einem als nach dass oder uns mein mir mich man "
    "war wird sein doch",
    "fr": "le les des et est que dans une pour qui pas vous sur ce avec nous il elle plus mais cette être sont ont "
    "la de un du je au par ne se son sa comme tout on aux ces ses si leur bien fait même",
    "es": "el los las que y una por con para como pero más este cuando muy todo sin sobre también hay ser han nos "
    "esto la de en un es no se lo su le del al me ya mi si porque está esta son fue ha yo",
    "it": "il che di è un per non sono del della con anche come questo più gli nel alla perché ma mi siamo ho stato "
    "la le una si da lo ha dei delle quando io ci se cosa tutto questa quello essere era",
    "pt": "o os que não uma por com para como mas mais isso ele ela dos das você muito também quando está são foi "
    "ao e a de do da em um no na se eu meu seu ter tem já só ou nos me isto",
    "nl": "de het een van en dat niet ik is zijn voor met op maar aan er ook naar dan wat hij deze nog wel bij je "
    "we ze in te die was heb heeft kan om als dit over uit mijn geen hoe door worden",
    "sv": "och att det som en är på för inte jag med han till den har ett om men var vi så kan ska när de av i du "
    "hon sig från eller nu där vad ha min mig här bara mycket",
    "pl": "nie się na jest że to w do jak ale po co tak za od czy już tylko był przez ten może jego jestem i z o ja "
    "mi dla być jej ma tego go są bardzo więc kiedy",
    "tr": "bir ve bu için çok ne ben da de var gibi daha ama değil kadar sonra olarak her mi şey ile o sen biz en "
    "benim olan diye bunu şimdi evet hayır nasıl iyi yok",
}
_COMMON = {tongue: frozenset(words.split()) for tongue, words in COMMON_WORDS.items()}
DIFFERENT = 4  # common words that must be met: one or two are the same in many languages
RARELY = 8  # one word in eight is common in any text of a language; a third is usual
CLEARLY = 2  # times: how much more at home a text must be in another language


def foreign_letters(texts: Iterable[str], language: str) -> tuple[int, int]:
    """How many letters of texts are of no script of a language, and how many letters there are."""
    expected = SCRIPTS.get(primary(language), LATIN)
    counted: Counter[str] = Counter()
    for text in texts:
        for character in text:
            if character.isalpha():
                counted[unicodedata.name(character, "UNKNOWN").split(" ")[0]] += 1
    total = sum(counted.values())
    return total - sum(counted[script] for script in expected), total


def other_tongue(texts: Iterable[str], language: str) -> str | None:
    """The language in which a text is clearly more at home than in its own; None where neither can be told."""
    own = primary(language)
    words = [folded(text) for text in texts]
    if own not in _COMMON:
        return None
    counts = {tongue: sum(word in common for word in words) for tongue, common in _COMMON.items()}
    most = max(sorted(counts), key=lambda tongue: counts[tongue])
    is_clear = counts[most] * RARELY >= len(words) and counts[most] > CLEARLY * counts[own]
    different = len(_COMMON[most].intersection(words))
    return most if most != own and is_clear and different >= DIFFERENT else None
