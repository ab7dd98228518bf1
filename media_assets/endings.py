"""How a step ends whose work has failed: stopped, tried again, or failed with one sentence for a person.

Belongs here: what Dagster is told of a `WorkFailure`, and that no stack of its own frames is shown with it. Does not
belong here: which failure it is (processing/failures) or what the ledger says of it (resources/production).
"""

# No postponed annotations here: Dagster looks at the class that annotates an asset's context.
from typing import NoReturn

import dagster as dg
from dagster import AssetExecutionContext, DagsterExecutionInterruptedError
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from media_assets.policies import Retry
from processing.failures import Interrupted, Throttled, Transient, WorkFailure

MAX_STEP_WAIT_S = 30.0  # a run that waits keeps its slot; longer waits end it, and the ledger says when to go on


class _OneSentence(DagsterUserCodeProcessError):
    """An error whose event is its sentence alone.

    Of every other exception Dagster keeps its own twelve frames, which the UI shows above the cause.
    """

    def __init__(self, sentence: str = "") -> None:
        shown = SerializableErrorInfo(sentence, [], None)
        super().__init__(sentence, user_code_process_error_infos=[shown])  # type: ignore[no-untyped-call]


class _Failed(dg.Failure, _OneSentence):
    """A step that failed once and for all; `dg.Failure` hands its description on as the sentence."""


class _TryAgain(dg.RetryRequested, _OneSentence):
    """A step that is to be tried again, and why."""

    def __init__(self, sentence: str, max_retries: int, wait_s: float) -> None:
        super().__init__(max_retries, wait_s)
        _OneSentence.__init__(self, sentence)


class _Stopped(DagsterExecutionInterruptedError, _OneSentence):
    """A step that ended because its run was told to stop."""


def end_step(context: AssetExecutionContext, retry: Retry, failure: WorkFailure) -> NoReturn:
    """End the step as the failure asks."""
    if isinstance(failure, Interrupted):
        # Without this the run would be called failed: Dagster cancels only what somebody told it to cancel.
        if not is_canceling(context):
            context.instance.report_run_canceling(context.run, message=failure.sentence)
        raise _Stopped(failure.sentence) from None
    if isinstance(failure, Transient | Throttled) and context.retry_number < retry.max_retries:
        wait_s = getattr(failure, "retry_after_s", None) or retry.delay_s * 2**context.retry_number
        if wait_s <= MAX_STEP_WAIT_S:
            raise _TryAgain(failure.sentence, retry.max_retries, wait_s) from None
    raise _Failed(
        description=failure.sentence,
        metadata={"kind": failure.kind.value, "cause": failure.cause, "cure": failure.cure},
        allow_retries=False,
    ) from None


def is_canceling(context: AssetExecutionContext) -> bool:
    """Whether somebody told the run to stop."""
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status in {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
