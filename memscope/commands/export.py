"""`memscope export`: export responses as training data for other tools, or the matrix."""

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
from memscope.commands.opening import load_scorable_session, open_finetuning
from memscope.config import Config
from memscope.errors import TrainingError, UsageError
from memscope.prompt.rendering import render
from memscope.run.finetuning import FineTuning
from memscope.run.run import Run
from memscope.run.selection import responses_by_index, select_responses, undecided_candidates
from memscope.scoring.events import AlternateFailed
from memscope.scoring.finetune import Findings
from memscope.scoring.layout import preview_line
from memscope.scoring.report import matrix_csv
from memscope.session.nodes import Session
from memscope.terminal.counts import counted
from memscope.terminal.printing import print_csv, print_json_text
from memscope.terminal.safe import one_line
from memscope.training.exports import (
    Origin,
    RecordBuilder,
    RecordTarget,
    check_destination,
    json_lines,
    write_atomically,
)
from memscope.training.redact import Redactor
from memscope.training.samples import TrainingContext

__all__ = ["Target", "export"]

Target: TypeAlias = Literal["trl", "messages", "sdft", "dpo", "matrix"]


@dataclass(frozen=True, slots=True)
class _ExportRequest:
    target: Target
    destination: Path | None
    responses: Sequence[int] | None
    context: TrainingContext | None
    format: Literal["csv", "json"] | None
    redact: bool
    force: bool

    @property
    def is_json(self) -> bool:
        """Whether the output is JSON: always for records; for a matrix by its format, or else the file extension."""
        if self.target != "matrix" or self.format is not None:
            return self.format != "csv"
        return self.destination is not None and self.destination.suffix.lower() == ".json"


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
    """Write an export to a file or stdout; return 1 if a row or an alternate failed.

    Without `responses`, the approved responses are exported, or else the candidates that were not rejected.

    Args:
        path: The session file; None for the demo.
        config: All options.
        target: The export format.
        destination: The output file; None for stdout.
        responses: Matrix indices.
        context: Whether memories stay in the context of a response; None means "without".
        output: Format of the matrix; None chooses by file extension and falls back to CSV.
        redact: Replace likely secrets.
        force: Overwrite an existing file.

    Raises:
        UsageError: The options conflict, or the file exists or cannot be written.
        TrainingError: There is nothing to export.
        MemscopeError: The session cannot be scored.
    """
    file = None if destination in (None, "-") else Path(str(destination)).expanduser()
    request = _ExportRequest(target, file, responses, context, output, redact, force)
    _check(request)
    return run_to_end(_export(load_scorable_session(path, config), config, request))


def _check(request: _ExportRequest) -> None:
    if request.target == "matrix" and (request.responses is not None or request.context is not None):
        raise UsageError("--to matrix exports the whole matrix and does not accept --responses or --context")
    if request.target != "matrix" and request.format is not None:
        raise UsageError(f"--format applies only to --to matrix; --to {request.target} is always JSON Lines")
    if request.target == "sdft" and request.context == "with":
        raise UsageError("--to sdft exports memories as privileged context and does not accept --context with")
    if request.destination is not None:
        check_destination(request.destination, force=request.force)


async def _export(session: Session, config: Config, request: _ExportRequest) -> int:
    async with open_finetuning(session, config) as tuning:
        redactor = Redactor(lambda ids: tuning.run.tokenizer.decode(ids)) if request.redact else None
        if request.target == "matrix":
            text, what, failed = await _matrix(tuning.run, request, redactor)
        else:
            text, what, failed = await _records(tuning, request.target, request, redactor)
    _write(text, request)
    place = str(request.destination.resolve()) if request.destination else "stdout"
    _say(f"{what} written to {place}")
    if redactor is not None:
        _say(f"redacted (best effort): {_format_counts(redactor.counts)}")
    return 1 if failed else 0


async def _matrix(run: Run, request: _ExportRequest, redactor: Redactor | None) -> tuple[str, str, bool]:
    await run.matrix()
    grid = run.grids["necessity"]
    report = run.report("necessity")
    if redactor is not None:
        report["session"]["title"] = redactor.text(report["session"]["title"])
        for memory in report["memories"]:
            memory["key"] = redactor.key(memory["key"])
        # Redact the whole text first: a secret that the preview cuts in two would not be recognised.
        for response, column in zip(report["responses"], grid.columns, strict=True):
            response["preview"] = preview_line(redactor.text(column.text))
            response["cited"] = list(map(redactor.key, column.cited))
    text = msgspec.json.encode(report).decode() + "\n" if request.is_json else matrix_csv(report)
    memories, responses = counted(len(grid.rows), "memory", "memories"), counted(len(grid.columns), "response")
    return text, f"matrix of {memories} and {responses}", "failed" in grid.status


async def _records(
    tuning: FineTuning, target: RecordTarget, request: _ExportRequest, redactor: Redactor | None
) -> tuple[str, str, bool]:
    run = tuning.run
    findings = await tuning.candidates.find()
    chosen = _chosen(tuning, findings, request.responses)
    alternates = await _alternates(tuning, chosen) if target == "dpo" else {}
    failed = sum(index not in alternates for index in chosen) if target == "dpo" else 0
    session, prompt = run.session, run.prompt
    if redactor is not None:
        session = redactor.session(session)
        prompt = await asyncio.to_thread(render, session, run.tokenizer, run.config.template)
        alternates = {index: redactor.text(text) for index, text in alternates.items()}
    info = run.rescorer.scorer.info
    records = RecordBuilder(
        session=session,
        prompt=prompt,
        origin=Origin.of(info.model, info.weights, run.tokenizer, run.prompt, session.header.id),
        identities=_identities(run),
        divergences={c.index: run.grids["necessity"].stripped[c.index] for c in run.layout.columns},
        context=request.context or "without",
        redactions=None if redactor is None else redactor.counts,
    )
    made = list(records.of(target, chosen, alternates))
    for reason, count in records.left_out.items():
        _say(f"{counted(count, 'response')} left out: {reason}")
    if not made:
        raise TrainingError(f"nothing to export: no {target} record can be made from these {len(chosen)} responses")
    return json_lines(made), f"{counted(len(made), 'record')} for {target}", bool(failed)


def _chosen(tuning: FineTuning, findings: Findings, numbers: Sequence[int] | None) -> list[int]:
    """Return the indices of the responses to export."""
    candidates, layout = tuning.candidates, tuning.run.layout
    selection = select_responses(
        requested=None if numbers is None else responses_by_index(layout, numbers),
        approved=candidates.approved(),
        fallback=undecided_candidates(findings, candidates.decisions()),
        marked=tuning.shipping.marks(),
    )
    if not selection.responses:
        raise TrainingError(findings.why_none or "all candidates are rejected; choose responses with --responses")
    if numbers is None:
        kind = "approved response" if selection.approved else "candidate"
        none_approved = "" if selection.approved else " (none is approved)"
        left_out = f"; {findings.trained} already trained are left out" if findings.trained else ""
        _say(f"exporting {counted(len(selection.responses), kind)}{none_approved}{left_out}")
    return [place for id_ in selection.responses if (place := layout.column_index(id_)) is not None]


async def _alternates(tuning: FineTuning, places: Sequence[int]) -> Mapping[int, str]:
    layout = tuning.run.layout

    def complain(event: object) -> None:
        if isinstance(event, AlternateFailed):
            _say(f"alternate of response {layout.column_index(event.response)}: {event.error}")

    stop = tuning.run.listen(complain)
    said = {place: await tuning.candidates.alternate(layout.responses[place]) for place in places}
    stop()
    return {place: text for place, text in said.items() if text is not None}


def _identities(run: Run) -> dict[int, str]:
    return {column.index: column.id for column in run.layout.columns}


def _write(text: str, request: _ExportRequest) -> None:
    if request.destination is None:
        print_json_text(text) if request.is_json else print_csv(text)
    else:
        write_atomically(request.destination, text, force=request.force)


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing found"


def _say(line: str) -> None:
    sys.stderr.write(f"memscope: {one_line(line)}\n")
