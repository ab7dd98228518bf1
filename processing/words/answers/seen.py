"""What is to be seen in one picture, as every reader of such answers returns it.

Belongs here: labels, what a moderator should know, faces, and the choice of a reader by format. Does not belong here:
any one format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from processing.words.answers import aws_rekognition, openai_vision_labels, strict
from processing.words.answers.boxes import Size
from processing.words.answers.sight import Seen
from processing.work import Input

READERS: Mapping[str, Callable[[bytes, Size], Seen]] = {
    aws_rekognition.FORMAT: aws_rekognition.read,
    openai_vision_labels.FORMAT: openai_vision_labels.read,
}


def read_seen(answer: Input, size: Size) -> Seen:
    """What an answer says about a picture of `size` pixels. Raises ContractBroken."""
    return strict.read_with(READERS, answer, size)
