"""Questions about frames and their answers: one each, and one more where the first cannot be used.

Belongs here: which questions are still to be asked, which answer counts, how many may be asked again. Does not belong
here: which frames there are (frames), what an answer looks like (answers) or means (screen_text, labels).

Only what can be repaired is asked again, with what was wrong: a text of the wrong form. Given the same answers the same
is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from processing.asking import Ask, AskTask
from processing.failures import ContractBroken
from processing.words.answers.boxes import Size
from processing.words.answers.strict import Repairable
from processing.words.frames import Frame
from processing.work import Input, Task

REPAIR = "/repair"
PICTURE = "picture.png"
PNG_LEVEL = 1  # of zlib: a third larger than the slowest, ten times as fast, and soon thrown away
FRAMES_A_REPAIR = 10  # one of so many may be asked about again, and one at least
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrameQuestions(Generic[T]):
    """How one task asks about frames. `read` gives an answer's content, or raises ContractBroken."""

    task: AskTask
    schema: Mapping[str, Any]
    most_tokens: int
    read: Callable[[Input, Size], T]

    def due(self, frames: Sequence[Frame], task: Task, at_once: int) -> list[Ask]:
        """What is still to be asked, at most `at_once` questions, their pictures written down.

        Raises ContractBroken for an answer that cannot be used and may not be asked for again.
        """
        faults = [(frame, fault) for frame in frames if (fault := self._fault(frame, task)) is not None]
        hopeless = [fault for _, fault in faults if not isinstance(fault, Repairable)]
        if hopeless or len(faults) > max(1, len(frames) // FRAMES_A_REPAIR):
            worst = hopeless or [fault for _, fault in faults]
            worst[0].answers = tuple(name for fault in worst for name in fault.answers)
            raise worst[0]
        again = [(frame, fault) for frame, fault in faults if self.counted(frame, task) == self.name(frame)]
        first = [frame for frame in frames if self.name(frame) not in task.inputs][:at_once]
        return [
            *(self._ask(frame, task) for frame in first),
            *(self._ask(frame, task, fault) for frame, fault in again),
        ]

    def about(self, name: str, prompt: Mapping[str, Any], fault: str | None = None) -> Ask:
        """The question `name` about the picture in its folder; `fault` is what was wrong with the answer before."""
        told = {"prompt": dict(prompt), "schema": dict(self.schema)}
        return Ask(
            name=name,
            task=self.task,
            parameters={**told, "fault": fault} if fault else told,
            payload={PICTURE: f"{name}/{PICTURE}"},
            most_tokens=self.most_tokens,
        )

    def name(self, frame: Frame) -> str:
        """The name of the question about a frame."""
        return f"{self.task.value}/{frame.number:04d}"

    def counted(self, frame: Frame, task: Task) -> str:
        """The name of the question whose answer counts."""
        name = self.name(frame)
        return name + REPAIR if name + REPAIR in task.inputs else name

    def answer(self, frame: Frame, task: Task) -> T:
        """What was answered about a frame. Raises ContractBroken, and KeyError where nothing was."""
        return self.read(task.inputs[self.counted(frame, task)], frame.size)

    def cited(self, frames: Sequence[Frame], task: Task) -> list[dict[str, Any]]:
        """The frames as a document lists them: number, time in ticks, question whose answer counts."""
        return [{"frame": each.number, "ticks": each.ticks, "ask": self.counted(each, task)} for each in frames]

    def _fault(self, frame: Frame, task: Task) -> ContractBroken | None:
        """What is wrong with the first answer about a frame, if there is one and something is."""
        if self.name(frame) not in task.inputs:
            return None
        try:
            self.read(task.inputs[self.name(frame)], frame.size)
        except ContractBroken as broken:
            return broken
        return None

    def _ask(self, frame: Frame, task: Task, fault: ContractBroken | None = None) -> Ask:
        name = self.name(frame) + (REPAIR if fault else "")
        folder = task.asks / name
        folder.mkdir(parents=True, exist_ok=True)
        frame.picture(task).save(folder / PICTURE, "PNG", compress_level=PNG_LEVEL)
        return self.about(name, task.parameters["prompt"], fault.cause if fault else None)
