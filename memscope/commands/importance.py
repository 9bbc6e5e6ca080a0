"""`memscope importance`: re-score stale memories incrementally and print the weights of all memories."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import load_scorable_session, open_run
from memscope.config import Config
from memscope.run.incremental import IncrementalScoring
from memscope.scoring.finetune import Context
from memscope.scoring.importance import MAX_AGE_SECONDS, WINDOW_RESPONSES, IncrementalResult, MemoryScore
from memscope.session.nodes import Session
from memscope.store.memory_weights import MemoryWeight
from memscope.terminal.counts import counted
from memscope.terminal.printing import print_json, print_text
from memscope.terminal.safe import fit, one_line

__all__ = ["importance"]


@dataclass(frozen=True, slots=True)
class _Options:
    max_age: float
    window: int
    context: Context


def importance(
    path: str | None,
    config: Config,
    output: str,
    max_age: float = MAX_AGE_SECONDS,
    window: int = WINDOW_RESPONSES,
    context: Context = "window",
) -> int:
    """Re-score stale memories and print all of them as JSON or a table; return 1 if a memory failed.

    Each result is stored at once: an interrupted run loses only the memory in progress.

    Args:
        path: The session file; None for the demo.
        config: All options.
        output: "json" or "table".
        max_age: Seconds after which a memory is scored again.
        window: How many responses after a memory's first appearance are scored.
        context: The conversation context: only the window, or everything before it too.

    Raises:
        MemscopeError: No scorer is available, or the session cannot be scored.
    """
    options = _Options(max_age, window, context)
    return run_to_end(_importance(load_scorable_session(path, config), config, output, options))


async def _importance(session: Session, config: Config, output: str, options: _Options) -> int:
    async with open_run(session, config) as run:
        began = time.monotonic()
        scoring = IncrementalScoring(run)
        result = await scoring.score(options.max_age, options.window, options.context)
        report = _report(scoring, result, time.monotonic() - began)
    if output == "json":
        print_json(report)
    else:
        print_text(_table(report, options))
    return 1 if result.failed else 0


def _report(scoring: IncrementalScoring, result: IncrementalResult, seconds: float) -> dict[str, Any]:
    run = scoring.run
    info, header = run.rescorer.scorer.info, run.session.header
    scores = {score.key: score for score in result.scored}
    return {
        "memscope": 1,
        "session": {"id": header.id, "title": header.title},
        "agent": scoring.agent,
        "scorer": {"kind": info.kind, "model": info.model, "dtype": info.dtype, "weights": info.weights},
        "memories": [
            {"key": memory.key, "section": memory.section}
            | _remembered(scoring.remembered.get(memory.key))
            | _measured(scores.get(memory.key))
            | _status(memory.key, result)
            for memory in run.prompt.memories
        ],
        "scored": len(result.scored),
        "failed": len(result.failed),
        "fresh": len(result.fresh),
        "late": len(result.late),
        "cost": {
            "calls": run.cost.calls,
            "tokens_naive": run.cost.tokens_naive,
            "tokens_forwarded": run.cost.tokens_forwarded,
            "seconds": round(seconds, 3),
        },
    }


def _remembered(weight: MemoryWeight | None) -> dict[str, Any]:
    if weight is None:
        return {"weight": None, "last_scored": None, "times": 0}
    stamp = datetime.fromtimestamp(weight.last_scored, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"weight": weight.weight, "last_scored": stamp, "times": weight.times}


def _measured(score: MemoryScore | None) -> dict[str, Any]:
    if score is None:
        return {"max": None, "total": None, "responses": None}
    return {"max": score.maximum, "total": score.total, "responses": score.responses}


def _status(key: str, result: IncrementalResult) -> dict[str, str]:
    if key in result.failed:
        return {"status": "failed", "error": result.failed[key]}
    return {"status": "fresh" if key in result.fresh else "late" if key in result.late else "scored"}


def _table(report: dict[str, Any], options: _Options) -> str:
    lines = [_summary(report, options)]
    if report["memories"]:
        lines += ["", f"{fit('memory', 32)}   weight      max    total  responses  times  last scored           status"]
    for memory in sorted(report["memories"], key=lambda memory: -(memory["weight"] or 0.0)):
        numbers = "".join(_number(memory[name]) for name in ("weight", "max", "total"))
        seen = "" if memory["responses"] is None else memory["responses"]
        stamp = fit(memory["last_scored"] or "never", 20)
        lines.append(f"{fit(memory['key'], 32)}{numbers} {seen:>10} {memory['times']:>6}  {stamp}  {memory['status']}")
    failed = [memory for memory in report["memories"] if "error" in memory]
    lines += [f"{one_line(memory['key'])} failed: {one_line(memory['error'])}" for memory in failed]
    return "\n".join(line.rstrip() for line in lines) + "\n"


_CONTEXTS = {
    "window": "each within its window of responses; --context full scores as memscope score does",
    "full": "with everything before them",
}


def _summary(report: dict[str, Any], options: _Options) -> str:
    late = f"{report['late']} late: too few responses after them yet"
    left = f"{report['fresh']} scored less than {options.max_age:g} s ago, {late}"
    if not report["scored"] and not report["failed"]:
        return f"nothing to score: {left}; weights in nats"
    failed = f", {report['failed']} failed" if report["failed"] else ""
    scored = counted(report["scored"], "memory", "memories")
    return f"{scored} scored{failed} ({_CONTEXTS[options.context]}); {left}; weights in nats"


def _number(value: float | None) -> str:
    return f"{'·':>9}" if value is None else f"{value:>9.2f}"
