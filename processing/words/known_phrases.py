"""What models write when they hear nothing, or refuse: phrases known from subtitles they were trained on, as data.

Belongs here: the lists and finding their phrases. Does not belong here: what follows from one (contracts/transcript).

The phrases were collected from public reports about Whisper and its descendants; the list is of `AS_OF`. A phrase may
also be said by people: whether somebody speaks at that moment is what tells.
"""

from __future__ import annotations

from processing.words.answers.speech import folded

AS_OF = "2026-11-27"

# Credits of subtitlers: nobody says these, they were in the subtitles.
CREDITS = (
    "amara.org",
    "subtitles by",
    "subtitled by",
    "captions by",
    "transcription by castingwords",
    "transcribed by https",
    "untertitel der",
    "untertitel von",
    "untertitelung im auftrag des zdf",
    "untertitel im auftrag des zdf",
    "untertitelung des zdf",
    "copyright wdr",
    "swr 2020",
    "swr 2021",
    "sous-titres réalisés par",
    "sous-titrage st' 501",
    "sous-titrage société radio-canada",
    "subtítulos realizados por",
    "subtítulos por la comunidad",
    "sottotitoli creati dalla comunità",
    "sottotitoli e revisione a cura di",
    "legendas pela comunidade",
    "ondertitels ingediend door",
    "ondertiteling door de",
    "napisy stworzone przez",
    "undertexter från",
    "teksting av",
    "danske tekster af",
    "altyazı m.k.",
    "субтитры сделал",
    "субтитры создавал",
    "редактор субтитров",
    "字幕由",
    "字幕志愿者",
    "明镜与点点栏目",
    "뉴스 이덕영입니다",
)
# Ends of videos: people do say them.
FAREWELLS = (
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
    "thank you very much for watching",
    "please subscribe",
    "like and subscribe",
    "subscribe to my channel",
    "subscribe to the channel",
    "don't forget to subscribe",
    "see you in the next video",
    "see you next time",
    "vielen dank fürs zuschauen",
    "danke fürs zuschauen",
    "bis zum nächsten mal",
    "merci d'avoir regardé cette vidéo",
    "abonnez-vous",
    "gracias por ver el video",
    "suscríbete al canal",
    "grazie per la visione",
    "iscrivetevi al canale",
    "obrigado por assistir",
    "inscreva-se no canal",
    "bedankt voor het kijken",
    "dziękuję za oglądanie",
    "tack för att du tittade",
    "izlediğiniz için teşekkür ederim",
    "продолжение следует",
    "спасибо за просмотр",
    "подписывайтесь на канал",
    "ご視聴ありがとうございました",
    "チャンネル登録",
    "请不吝点赞",
    "謝謝觀看",
    "谢谢观看",
    "시청해주셔서 감사합니다",
    "구독과 좋아요",
)
# What a model says instead of an answer.
REFUSALS = (
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "i'm sorry, i can",
    "i cannot transcribe",
    "i can't transcribe",
    "i can't assist with",
    "i cannot assist with",
    "i'm unable to",
    "i am unable to",
    "as an ai language model",
    "as an ai model",
    "as a language model",
    "here is the transcript",
    "here's the transcript",
    "here is a transcription",
    "the audio contains no speech",
    "the audio is silent",
    "no speech detected",
    "no speech found",
    "please provide the audio",
    "please upload the audio",
    "inaudible",
    "blank audio",
    "es tut mir leid, aber ich kann",
    "ich kann diese audiodatei nicht",
    "je suis désolé, mais je ne peux",
    "lo siento, pero no puedo",
)


def letters(text: str) -> str:
    """A text as phrases are compared: letters and digits only, without case."""
    return folded(text)


_FOLDED = {phrase: letters(phrase) for phrase in (*CREDITS, *FAREWELLS, *REFUSALS)}


def found_in(text: str, phrases: tuple[str, ...]) -> str | None:
    """The first of `phrases` that a text has, None for none."""
    bare = letters(text)
    return next((phrase for phrase in phrases if _FOLDED[phrase] in bare), None)
