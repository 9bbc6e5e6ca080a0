"""`memscope finetune`: list the candidates for training."""

from __future__ import annotations

import sys
from typing import Any

from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import load_scorable_session, open_finetuning
from memscope.config import Config
from memscope.run.finetuning import FineTuning
from memscope.scoring.events import AlternateFailed, Event, ShipmentChanged
from memscope.scoring.finetune import Context, Findings
from memscope.session.nodes import Session
from memscope.terminal.printing import print_json, print_text
from memscope.terminal.safe import fit, one_line

__all__ = ["finetune"]


def finetune(
    path: str | None, config: Config, output: str, count: int | None, context: Context, *, alternates: bool
) -> int:
    """Print the candidates as JSON or a table; return 1 if an alternate could not be generated.

    Raises:
        MemscopeError: The session cannot be scored.
    """
    return run_to_end(_finetune(load_scorable_session(path, config), config, output, count, context, alternates))


async def _finetune(
    session: Session, config: Config, output: str, count: int | None, context: Context, alternates: bool
) -> int:
    failed: list[AlternateFailed] = []

    def heard(event: Event) -> None:
        if isinstance(event, AlternateFailed):
            failed.append(event)
        elif isinstance(event, ShipmentChanged) and event.job is not None:
            sys.stderr.write(f"memscope: job {one_line(event.job)}, sent earlier, is {event.state}\n")

    async with open_finetuning(session, config) as tuning:
        tuning.run.listen(heard)
        findings = await tuning.candidates.find(count, context)
        said = await _alternates(tuning, findings) if alternates else {}
    report = _report(findings, said)
    if output == "json":
        print_json(report)
    else:
        print_text(_table(report, findings))
    for event in failed:
        index = tuning.run.layout.column_index(event.response)
        sys.stderr.write(f"memscope: alternate of response {index}: {one_line(event.error)}\n")
    return 1 if failed else 0


async def _alternates(tuning: FineTuning, findings: Findings) -> dict[str, str | None]:
    return {found.id: await tuning.candidates.alternate(found.id) for found in findings.candidates}


def _report(findings: Findings, alternates: dict[str, str | None]) -> dict[str, Any]:
    return {
        "candidates": [
            {
                "index": found.index,
                "entry_index": found.entry_index,
                "divergence": found.divergence,
                "timestamp": found.timestamp,
                "text": found.text,
                "alternate": alternates.get(found.id),
            }
            for found in findings.candidates
        ],
        "responses_seen": findings.responses_seen,
        "max_divergence": findings.max_divergence,
        "threshold": findings.threshold,
    }


def _table(report: dict[str, Any], findings: Findings) -> str:
    if findings.why_none:
        return findings.why_none + "\n"
    lines = ["response     nats  time                  text"]
    for found in report["candidates"]:
        stamp, text = fit(found["timestamp"], 20), one_line(found["text"])
        lines.append(f"{found['index']:>8} {found['divergence']:>8.2f}  {stamp}  {text}")
        if found["alternate"] is not None:
            lines.append(f"{'':>8} {'without':>8}  {'':>20}  {one_line(found['alternate'])}")
    return "\n".join(lines) + "\n"
