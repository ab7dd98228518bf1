"""Answers of chat completions as OpenAI and servers compatible with it give them (format openai.chat_json.v1).

Belongs here: finding the text, and the ways in which a response with status 200 is none. Does not belong here: what the
text says (summary_steps), or asking (resources/providers). Source: the API reference's object `chat.completion`.
"""

from __future__ import annotations

from processing.words.answers import strict

FORMAT = "openai.chat_json.v1"
MOST_CHOICES = 16
MOST_CHARACTERS = 400_000
COMPLETE = frozenset({"stop", "eos"})  # the second is what some servers of open models say


def text_of(content: bytes) -> str:
    """What the first choice says. Raises ContractBroken for a refusal and for what is empty, cut off or filtered."""
    found = strict.document(content)
    choices = strict.listed(found.get("choices"), "choices", MOST_CHOICES)
    if not choices:
        raise strict.broken("it holds no choice")
    choice = strict.mapping(choices[0], "the first choice")
    message = strict.mapping(choice.get("message"), "the message")
    refusal = message.get("refusal")
    if refusal:
        said = strict.text(refusal, "the refusal", MOST_CHARACTERS)
        raise strict.broken(f"the model refused: {strict.shown(said)}")
    _require_complete(str(choice.get("finish_reason")))
    text = strict.text(message.get("content") or "", "the content", MOST_CHARACTERS)
    if not text.strip():
        raise strict.broken("its text is empty")
    return text


def _require_complete(reason: str) -> None:
    if reason == "length":
        raise strict.broken("it was cut off at the most tokens that were asked for")
    if reason == "content_filter":
        raise strict.broken("a content filter withheld it")
    if reason not in COMPLETE:
        raise strict.broken(f"it ended for another reason than being complete: {strict.shown(reason)}")
