"""`memscope train`: send responses to training, headless."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from memscope.commands.opening import opened_finetuning, readable_session
from memscope.config import Config
from memscope.errors import TrainingError, UsageError
from memscope.finetuning import Review
from memscope.scoring.events import Event, JobProgress
from memscope.training.proof import Proof
from memscope.training.samples import TrainingContext
from memscope.ui.safe import one_line

__all__ = ["train"]

_SHOWN_STEPS = 5


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
) -> int:
    """Send responses to training; the last line on stdout is `job <id> <status>`. 1 when the job failed.

    Raises:
        UsageError: Nobody can be asked whether to send.
        MemscopeError: Nothing was sent, or the shipment is in doubt.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("train asks before it sends: answer on a terminal, or give --yes")
    return asyncio.run(_train(path, config, responses, context, wait, yes, again, verify))


async def _train(
    path: str | None,
    config: Config,
    responses: Sequence[int],
    context: TrainingContext | None,
    wait: bool,
    yes: bool,
    again: bool,
    verify: bool,
) -> int:
    session = readable_session(path, config)
    async with opened_finetuning(session, config) as tuning:
        tuning.run.listen(_progress)
        review = await tuning.review(responses, context or tuning.context)
        sys.stdout.write(
            f"{len(review.samples)} samples, {review.tokens} tokens, {review.context} memories, to {review.address}\n"
        )
        sys.stdout.flush()
        if not yes and not await asyncio.to_thread(_agreed, review):
            raise TrainingError("not sent")
        tuning.trust(review.address)
        key, job = await tuning.send(review, again=again)
        if wait or verify:
            job = await tuning.watch(key, job)
        if verify and job.status == "succeeded":
            _print_proof(await tuning.verify(key))
        if job.error:
            sys.stderr.write(f"memscope: the job failed: {one_line(job.error)}\n")
    sys.stdout.write(f"job {one_line(job.id)} {one_line(job.status)}\n")
    return 1 if job.status == "failed" else 0


def _agreed(review: Review) -> bool:
    if not review.loopback and not review.known:
        sys.stdout.write(f"{review.address} is not on this machine: the samples leave it.\n")
    sys.stdout.write("send? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _progress(event: Event) -> None:
    if isinstance(event, JobProgress) and (event.step % _SHOWN_STEPS == 0 or event.step == event.steps):
        loss = f", loss {event.loss:.4f}" if event.loss is not None else ""
        sys.stderr.write(f"memscope: job {one_line(event.job)} {event.status}, step {event.step}/{event.steps}{loss}\n")


def _print_proof(proof: Proof) -> None:
    sys.stdout.write("response   before    after  (nats, all memories stripped)\n")
    for index, before in proof.before.items():
        sys.stdout.write(f"{index:>8} {before:>8.2f} {proof.after[index]:>8.2f}\n")
    sys.stdout.write(f"the dependence fell by {proof.fall:.1%}; other responses moved {proof.others_moved:.2f} nats\n")
