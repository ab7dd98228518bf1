"""Steps of one run side by side, in threads of the run's own process.

Belongs here: which steps run at once and how their events reach Dagster. Does not belong here: how many tasks may keep
a core busy (resources/compute/permits); a step spends its time waiting for those.

Dagster ships two executors for one machine: one step after the other, which leaves a core idle behind every step that
cannot keep both busy, and a process a step, which costs a second each.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.executor.base import Executor

from resources.dagster_bindings.waiting import sleep_til_ready

if TYPE_CHECKING:
    from dagster._core.events import DagsterEvent
    from dagster._core.execution.context.system import (
        PlanExecutionContext,
        PlanOrchestrationContext,
        StepExecutionContext,
    )
    from dagster._core.execution.plan.active import ActiveExecution
    from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
    from dagster._core.execution.plan.plan import ExecutionPlan

LOOK_S = 0.25  # how often a run with steps at work looks for slots in pools that have come free
MOST_AT_ONCE = 8  # of one run; a step holds a thread, a connection at times, and a child of its own


def steps_at_once() -> int:
    """One more than there are cores: while a step publishes or asks the database, another computes."""
    return min(MOST_AT_ONCE, len(os.sched_getaffinity(0)) + 1)


@dataclass(slots=True)
class _Told:
    """One event of a step, or, without one, its end and what it was ended by."""

    step_key: str
    event: DagsterEvent | None = None
    ended_by: BaseException | None = None


@dataclass(slots=True)
class _Running:
    """The steps at work, and what they tell."""

    threads: ThreadPoolExecutor
    told: SimpleQueue[_Told] = field(default_factory=SimpleQueue)
    contexts: dict[str, StepExecutionContext] = field(default_factory=dict)
    events: dict[str, list[DagsterEvent]] = field(default_factory=dict)

    def start(self, context: StepExecutionContext) -> Future[None]:
        self.contexts[context.step.key] = context
        self.events[context.step.key] = []
        return self.threads.submit(contextvars.copy_context().run, self._perform, context)

    def _perform(self, context: StepExecutionContext) -> None:
        from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step

        threading.current_thread().name = f"step-{context.step.key}"
        ended_by: BaseException | None = None
        try:
            for event in dagster_event_sequence_for_step(context):
                self.told.put(_Told(context.step.key, event))
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread of the run
            ended_by = error
        self.told.put(_Told(context.step.key, ended_by=ended_by))


def _side_by_side(
    context: PlanExecutionContext, plan: ExecutionPlan, pools: InstanceConcurrencyContext
) -> Iterator[DagsterEvent]:
    """Execute the plan; raises what a step was interrupted by when those beside it have ended."""
    at_once = steps_at_once()
    with (
        plan.start(
            retry_mode=context.retry_mode,
            max_concurrent=at_once,
            instance_concurrency_context=pools,
            step_dependency_config=context.step_dependency_config,
        ) as active,
        ThreadPoolExecutor(at_once, thread_name_prefix="step") as threads,
        ExitStack() as capture,
    ):
        yield from _captured(context, plan, capture)
        running = _Running(threads)
        interrupted: BaseException | None = None
        while running.contexts or (interrupted is None and not active.is_complete):
            if interrupted is None:
                for step in active.get_steps_to_execute():
                    running.start(context.for_step(step, active.get_known_state()))
                yield from active.concurrency_event_iterator(context)
            if not running.contexts:
                yield from active.plan_events_iterator(context)
                sleep_til_ready(active, context.instance, context.run_id)
                continue
            try:
                told = running.told.get(timeout=LOOK_S)
            except Empty:
                continue
            if told.event is not None:
                running.events[told.step_key].append(told.event)
                yield told.event
                active.handle_event(told.event)
                continue
            interrupted = interrupted or told.ended_by
            yield from _ended(context, active, running, told.step_key)
        if interrupted is not None:
            raise interrupted


def _ended(
    context: PlanExecutionContext, active: ActiveExecution, running: _Running, step_key: str
) -> Iterator[DagsterEvent]:
    """What follows from the end of a step: steps behind it that cannot be executed, and hooks."""
    from dagster._core.execution.plan.execute_plan import _trigger_hook

    step, events = running.contexts.pop(step_key), running.events.pop(step_key)
    active.verify_complete(context, step_key)
    for event in active.plan_events_iterator(context):
        events.append(event)
        yield event
    yield from _trigger_hook(step, events)


def _captured(context: PlanExecutionContext, plan: ExecutionPlan, capture: ExitStack) -> Iterator[DagsterEvent]:
    """Begin to keep what the process prints, where the instance does; nothing depends on it."""
    from dagster._core.events import DagsterEvent
    from dagster._core.execution.compute_logs import create_compute_log_file_key
    from dagster._core.execution.plan.execute_plan import _handle_compute_log_setup_error

    manager = context.instance.compute_log_manager
    try:
        key = manager.build_log_key_for_run(context.run_id, create_compute_log_file_key())  # type: ignore[no-untyped-call]
        kept = capture.enter_context(manager.capture_logs(key))
        steps = [step.key for step in plan.get_steps_to_execute_in_topo_order()]
        yield DagsterEvent.capture_logs(context, steps, key, kept)
    except Exception:  # noqa: BLE001 - the run goes on without
        yield from _handle_compute_log_setup_error(context, sys.exc_info())


def _with_pools(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
    """Called by Dagster, by these names."""
    from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

    with InstanceConcurrencyContext(job_context.instance, job_context.dagster_run) as pools:
        yield from _side_by_side(job_context, execution_plan, pools)


class SideBySideExecutor(Executor):
    """Executes all steps of a run in this process, several at once."""

    def __init__(self, retries: RetryMode) -> None:
        self._retries = retries

    @property
    def retries(self) -> RetryMode:
        """Whether a step may ask to be tried again."""
        return self._retries

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Execute the plan; the events are those of Dagster's own executor in one process."""
        from dagster._core.events import DagsterEvent, EngineEventData
        from dagster._core.execution.api import ExecuteRunWithPlanIterable
        from dagster._core.execution.context_creation_job import PlanExecutionContextManager

        here = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield DagsterEvent.engine_event(plan_context, f"Executing steps in process {os.getpid()}", here)
        yield from ExecuteRunWithPlanIterable(
            execution_plan=execution_plan,
            iterator=_with_pools,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )
        yield DagsterEvent.engine_event(plan_context, f"Finished steps in process {os.getpid()}", here)


@dg.executor(name="side_by_side", config_schema={"retries": get_retries_config()})  # type: ignore[no-untyped-call]
def side_by_side_executor(init_context: dg.InitExecutorContext) -> SideBySideExecutor:
    """Steps of a run in threads of one process."""
    return SideBySideExecutor(RetryMode.from_config(init_context.executor_config["retries"]))  # type: ignore[arg-type]
