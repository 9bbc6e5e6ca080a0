"""`memscope train`: send responses to training."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import load_scorable_session, open_finetuning
from memscope.config import Config
from memscope.errors import TrainingError, UsageError
from memscope.run.finetuning import FineTuning
from memscope.run.selection import responses_by_index
from memscope.run.shipping import Shipping
from memscope.scoring.events import Event, JobProgress
from memscope.scoring.layout import Layout
from memscope.session.nodes import Session
from memscope.terminal.counts import counted
from memscope.terminal.printing import print_text
from memscope.terminal.safe import one_line
from memscope.training.proof import Proof
from memscope.training.samples import Review, TrainingContext
from memscope.training.send import TrainingJob

__all__ = ["train"]


@dataclass(frozen=True, slots=True)
class _TrainRequest:
    responses: Sequence[int]
    context: TrainingContext | None
    wait: bool
    yes: bool
    again: bool
    verify: bool
    options: Mapping[str, Any]


def train(
    path: str | None,
    config: Config,
    responses: Sequence[int],
    context: TrainingContext | None,
    *,
    wait: bool,
    yes: bool,
    again: bool,
    verify: bool,
    options: Mapping[str, Any],
) -> int:
    """Send responses to training; the last line on stdout is `job <id> <status>`. Return 1 if the job failed.

    Args:
        path: The session file; None for the demo.
        config: All options.
        responses: Matrix indices.
        context: Whether memories stay in the training context; None for the last choice.
        wait: Wait for the job to finish. Jobs on the embedded scorer are always waited for.
        yes: Send without asking.
        again: Also send responses already trained or in doubt.
        verify: Score again after the job.
        options: Training options, for servers that support `options` in the request.

    Raises:
        UsageError: Confirmation is needed, but stdin is not a terminal.
        MemscopeError: Nothing was sent, the outcome is in doubt, or the job cannot be followed.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("train asks for confirmation before sending: run it on a terminal, or pass --yes")
    request = _TrainRequest(responses, context, wait, yes, again, verify, options)
    return run_to_end(_train(load_scorable_session(path, config), config, request))


async def _train(session: Session, config: Config, request: _TrainRequest) -> int:
    async with open_finetuning(session, config) as tuning:
        tuning.run.listen(_progress)
        shipping, layout = tuning.shipping, tuning.run.layout
        chosen = responses_by_index(layout, request.responses)
        review = await shipping.review(chosen, request.context or shipping.context, again=request.again)
        memories = f"{review.context} memories in the context"
        samples = counted(len(review.samples), "sample")
        print_text(f"{samples}, {review.tokens} tokens, {memories}, to {review.address}\n")
        if not request.yes and not await _confirm_sending(review):
            raise TrainingError("nothing was sent")
        shipping.trust(review.address)
        key, job = await _send(shipping, review, request)
        seen = [job.status]
        tuning.run.listen(lambda event: seen.append(event.status) if isinstance(event, JobProgress) else None)
        try:
            if _scorer_ends_with_command(tuning) or request.wait or request.verify:
                job = await shipping.watch(key, job)
            if request.verify and job.status == "succeeded":
                _print_proof(await tuning.verify(key), layout)
        except asyncio.CancelledError:
            _say_how_to_look_again(tuning, job.id, review.address)
            raise
        finally:
            print_text(f"job {one_line(job.id)} {one_line(seen[-1])}\n")
    if job.error:
        sys.stderr.write(f"memscope: the job failed: {one_line(job.error)}\n")
    return 1 if job.status in ("failed", "cancelled") else 0


async def _send(shipping: Shipping, review: Review, request: _TrainRequest) -> tuple[str, TrainingJob]:
    try:
        return await shipping.send(review, again=request.again, options=request.options)
    except asyncio.CancelledError:
        if any(shipment.state == "in doubt" for shipment in shipping.history.shipments()[-1:]):
            sys.stderr.write(
                "memscope: interrupted before the server answered: the request is in doubt and will not be sent again\n"
            )
        raise


def _scorer_ends_with_command(tuning: FineTuning) -> bool:
    """Whether the scorer is embedded; if so, warn that its jobs and new weights are lost when this command exits."""
    if tuning.run.scorer is None or tuning.run.scorer.kind != "embedded":
        return False
    sys.stderr.write(
        "memscope: the embedded scorer stops when this command exits, and the trained weights are lost; "
        "to keep them, run memscope serve --save-to DIR and pass its address as --url\n"
    )
    return True


def _say_how_to_look_again(tuning: FineTuning, job: str, address: str) -> None:
    if tuning.run.scorer is not None and tuning.run.scorer.kind == "embedded":
        sys.stderr.write(f"memscope: job {one_line(job)} stops here, together with the embedded scorer\n")
    else:
        sys.stderr.write(
            f"memscope: job {one_line(job)} continues at {address}; run memscope finetune to see the result\n"
        )


async def _confirm_sending(review: Review) -> bool:
    if not review.loopback and not review.known:
        print_text(f"{review.address} is a remote address: the samples will leave this machine.\n")
    print_text("send? [y/N] ")
    return (await _read_answer()).strip().lower() in ("y", "yes")


async def _read_answer() -> str:
    # Not in a thread: ctrl+c could not interrupt a thread that is waiting for a line.
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _progress(event: Event) -> None:
    if isinstance(event, JobProgress):
        loss = f", loss {event.loss:.4f}" if event.loss is not None else ""
        step = f", step {event.step}/{event.steps}" if event.steps else ""
        sys.stderr.write(f"memscope: job {one_line(event.job)} {one_line(event.status)}{step}{loss}\n")


def _print_proof(proof: Proof, layout: Layout) -> None:
    lines = ["response   before    after  (nats, all memories stripped)"]
    lines += [
        f"{layout.column_index(response):>8} {before:>8.2f} {proof.after[response]:>8.2f}"
        for response, before in proof.before.items()
    ]
    lines.append(
        f"dependence fell by {proof.fall:.1%}; with all memories present, other responses moved "
        f"{proof.others_moved:.2f} nats"
    )
    if proof.overshot:
        numbers = ", ".join(str(layout.column_index(response)) for response in proof.overshot)
        lines.append(f"overshot: {numbers}, are now less likely with memories than without; try fewer --steps")
    print_text("\n".join(lines) + "\n")
