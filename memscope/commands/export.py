"""`memscope export`: responses as training data for other tools, or the matrix."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import opened_finetuning, readable_session
from memscope.config import Config
from memscope.errors import TrainingError, UsageError
from memscope.prompt.rendering import render
from memscope.run.finetuning import FineTuning
from memscope.run.run import Run
from memscope.scoring.events import AlternateFailed
from memscope.scoring.finetune import Findings
from memscope.scoring.report import matrix_csv, matrix_report
from memscope.scoring.shape import one_line as preview
from memscope.session.nodes import Session
from memscope.store.decisions import response_id
from memscope.terminal.printing import print_csv, print_text
from memscope.terminal.safe import one_line
from memscope.training.exports import Origin, Records, RecordTarget, check_destination, json_lines, write_whole
from memscope.training.redact import Redactor
from memscope.training.samples import TrainingContext

__all__ = ["Target", "export"]

Target: TypeAlias = Literal["trl", "messages", "sdft", "dpo", "matrix"]


@dataclass(frozen=True, slots=True)
class _Wishes:
    target: Target
    destination: Path | None
    responses: Sequence[int] | None
    context: TrainingContext | None
    format: Literal["csv", "json"] | None
    redact: bool
    force: bool


def export(
    path: str | None,
    config: Config,
    target: Target,
    *,
    destination: str | None = None,
    responses: Sequence[int] | None = None,
    context: TrainingContext | None = None,
    output: Literal["csv", "json"] | None = None,
    redact: bool = False,
    force: bool = False,
) -> int:
    """Write an export to a file, or to stdout; 1 when a row or an alternate failed.

    Without `responses`, the approved ones are taken; when none is approved, the candidates that are not rejected.

    Args:
        path: The session file; None is the demo.
        config: All options.
        target: What to make.
        destination: The file; None is stdout.
        responses: Indices in the matrix.
        context: Memories in what comes before a response, or not; None is "without".
        output: How the matrix is written; None goes by the file's ending, CSV without one.
        redact: Take out what looks like a secret.
        force: Replace an existing file.

    Raises:
        UsageError: The options contradict each other, or the file exists or cannot be written.
        TrainingError: There is nothing to export.
        MemscopeError: The session cannot be scored.
    """
    file = None if destination in (None, "-") else Path(str(destination)).expanduser()
    wishes = _Wishes(target, file, responses, context, output, redact, force)
    _check(wishes)
    return run_to_end(_export(readable_session(path, config), config, wishes))


def _check(wishes: _Wishes) -> None:
    if wishes.target == "matrix" and (wishes.responses is not None or wishes.context is not None):
        raise UsageError("--to matrix exports the whole matrix: it takes no --responses and no --context")
    if wishes.target != "matrix" and wishes.format is not None:
        raise UsageError(f"--format is for --to matrix; --to {wishes.target} is always JSON Lines")
    if wishes.target == "sdft" and wishes.context == "with":
        raise UsageError("--to sdft hands the memories over as privileged context: it takes no --context with")
    if wishes.destination is not None:
        check_destination(wishes.destination, force=wishes.force)


async def _export(session: Session, config: Config, wishes: _Wishes) -> int:
    redactor = Redactor() if wishes.redact else None
    async with opened_finetuning(session, config) as tuning:
        if wishes.target == "matrix":
            text, what, failed = await _matrix(tuning.run, wishes, redactor)
        else:
            text, what, failed = await _records(tuning, wishes.target, wishes, redactor)
    _write(text, wishes)
    place = str(wishes.destination.resolve()) if wishes.destination else "stdout"
    _say(f"{what} written to {place}")
    if redactor is not None:
        _say(f"redacted, as far as the rules can see: {_counted(redactor.counts)}")
    return 1 if failed else 0


async def _matrix(run: Run, wishes: _Wishes, redactor: Redactor | None) -> tuple[str, str, bool]:
    await run.matrix()
    grid = run.grids["necessity"]
    if run.scorer is None:
        raise RuntimeError("a matrix without a scorer")
    report = matrix_report(run.session.header, run.scorer, grid, run.cost, run.seconds)
    if redactor is not None:
        report["session"]["title"] = redactor.text(report["session"]["title"])
        for memory in report["memories"]:
            memory["key"] = redactor.key(memory["key"])
        # Of the whole text: a secret that a preview cuts in two would not be recognised.
        for response, column in zip(report["responses"], grid.columns, strict=True):
            response["preview"] = preview(redactor.text(column.text))
    suffix = wishes.destination.suffix.lower() if wishes.destination else ""
    as_json = wishes.format == "json" or (wishes.format is None and suffix == ".json")
    text = msgspec.json.encode(report).decode() + "\n" if as_json else matrix_csv(report)
    return text, f"matrix of {len(grid.rows)} memories and {len(grid.columns)} responses", "failed" in grid.status


async def _records(
    tuning: FineTuning, target: RecordTarget, wishes: _Wishes, redactor: Redactor | None
) -> tuple[str, str, bool]:
    run = tuning.run
    findings = await tuning.find()
    chosen = _chosen(tuning, findings, wishes.responses)
    alternates = await _alternates(tuning, chosen) if target == "dpo" else {}
    failed = sum(index not in alternates for index in chosen) if target == "dpo" else 0
    session, prompt = run.session, run.prompt
    if redactor is not None:
        session = redactor.session(session)
        prompt = await asyncio.to_thread(render, session, run.tokenizer)
        alternates = {index: redactor.text(text) for index, text in alternates.items()}
    info = run.rescorer.scorer.info
    records = Records(
        session=session,
        prompt=prompt,
        origin=Origin.of(info.model, info.weights, run.tokenizer, session.header.id),
        identities=_identities(run),
        divergences=dict(enumerate(run.grids["necessity"].stripped)),
        context=wishes.context or "without",
        redactions=None if redactor is None else redactor.counts,
    )
    made = list(records.of(target, chosen, alternates))
    for reason, count in records.left_out.items():
        _say(f"{count} response{'s' * (count > 1)} left out: {reason}")
    if not made:
        raise TrainingError(f"nothing to export: none of {len(chosen)} responses gives a record of {target}")
    return json_lines(made), f"{len(made)} record{'s' * (len(made) > 1)} for {target}", bool(failed)


def _chosen(tuning: FineTuning, findings: Findings, responses: Sequence[int] | None) -> list[int]:
    """Return the asked responses, else the approved ones, else the candidates that are not rejected."""
    if responses is not None:
        return list(responses)
    verdicts = tuning.verdicts()
    approved = sorted(index for index, verdict in verdicts.items() if verdict == "approved")
    chosen = approved or [found.index for found in findings.candidates if found.index not in verdicts]
    if not chosen:
        raise TrainingError(findings.why_none or "no candidate is left: all are rejected; name some with --responses")
    trained = f"; {findings.trained} sent to training before are left out" if findings.trained and not approved else ""
    _say(f"exporting {len(chosen)} {'approved responses' if approved else 'candidates, none being approved'}{trained}")
    return chosen


async def _alternates(tuning: FineTuning, responses: Sequence[int]) -> Mapping[int, str]:
    def complain(event: object) -> None:
        if isinstance(event, AlternateFailed):
            _say(f"alternate of response {event.response}: {event.error}")

    stop = tuning.run.listen(complain)
    known = {column.index for column in tuning.run.grids["necessity"].columns}
    said = {index: await tuning.alternate(index) for index in responses if index in known}
    stop()
    return {index: text for index, text in said.items() if text is not None}


def _identities(run: Run) -> dict[int, str]:
    return {
        column.index: response_id(run.session.header.id, column.entry_index, column.timestamp, column.text)
        for column in run.grids["necessity"].columns
    }


def _write(text: str, wishes: _Wishes) -> None:
    if wishes.destination is None:
        print_csv(text) if wishes.target == "matrix" else print_text(text)
    else:
        write_whole(wishes.destination, text, force=wishes.force)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing found"


def _say(line: str) -> None:
    sys.stderr.write(f"memscope: {one_line(line)}\n")
