"""A scored grid as data for scripts: JSON, CSV and a plain table. Numbers are unrounded except in the table."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from memscope.scoring.events import ScorerReady
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Column
from memscope.scoring.plausibility import answered_by_another, doubt, mean_logprob
from memscope.scoring.rescoring import Cost
from memscope.session.nodes import Header
from memscope.terminal.counts import counted

__all__ = ["FORMAT_VERSION", "matrix_csv", "matrix_report", "matrix_table"]

FORMAT_VERSION = 1


def matrix_report(header: Header, scorer: ScorerReady, grid: Grid, cost: Cost, seconds: float) -> dict[str, Any]:
    """Return the data that `memscope score --format json` prints.

    `divergence[i][j]` is memory i, response j in signed nats, and None where it was not scored or failed.
    """
    return {
        "memscope": FORMAT_VERSION,
        "session": {"id": header.id, "title": header.title},
        "scorer": {
            "kind": scorer.kind,
            "model": scorer.model,
            "dtype": scorer.dtype,
            "weights": scorer.weights,
            "url": scorer.url,
            "dialect": scorer.dialect,
            "verified": scorer.verified,
        },
        "memories": [_memory(grid, index) for index in range(len(grid.rows))],
        "responses": [_response(grid, column) for column in grid.columns],
        "divergence": [_row(grid, index) for index in range(len(grid.rows))],
        "noise_floor": grid.noise_floor,
        "warnings": [line for line in (answered_by_another(grid.layout, scorer.model), doubt(grid)) if line],
        "cost": {
            "calls": cost.calls,
            "tokens_naive": cost.tokens_naive,
            "tokens_forwarded": cost.tokens_forwarded,
            "seconds": round(seconds, 3),
        },
    }


def matrix_csv(report: dict[str, Any]) -> str:
    """Return the report's matrix as CSV: one row per memory, one column per response, empty where not scored."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("key", "section", "tokens", "importance", "max", "status")
    writer.writerow([*names, *(response["index"] for response in report["responses"])])
    for memory, values in zip(report["memories"], report["divergence"], strict=True):
        writer.writerow([*(memory[name] for name in names), *("" if v is None else repr(v) for v in values)])
    return out.getvalue()


def matrix_table(report: dict[str, Any], width: int, fit: Callable[[str, int], str]) -> str:
    """Return the report as a plain-text table, with the responses split into blocks that fit the width.

    Args:
        report: What `matrix_report` returned.
        width: Line width in terminal cells.
        fit: Makes a text safe for a terminal and pads or cuts it to a number of cells.
    """
    label = min(28, max(12, width // 4))
    per_block = max(1, (width - label - 18) // 8)
    count = len(report["responses"])
    blocks = [range(i, min(i + per_block, count)) for i in range(0, count, per_block)] or [range(0)]
    floor = report["noise_floor"] or 0.0
    lines = [_title(report)]
    for block in blocks:
        lines.append("")
        lines.append(fit("memory", label) + "     sum      max" + "".join(f"{j:>8}" for j in block))
        for memory, values in zip(report["memories"], report["divergence"], strict=True):
            sums = f"{memory['importance']:>8.2f} {memory['max']:>8.2f}"
            cells = "".join(_cell(values[j], memory["status"], floor) for j in block)
            lines.append(fit(memory["key"], label) + sums + " " + cells)
        dependence = "".join(f"{report['responses'][j]['dependence']:>8.2f}" for j in block)
        lines.append(fit("sum of the response", label) + " " * 18 + dependence)
    lines += [
        f"{fit(memory['key'], label)} failed: {memory['error']}" for memory in report["memories"] if "error" in memory
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _title(report: dict[str, Any]) -> str:
    scorer, cost, floor = report["scorer"], report["cost"], report["noise_floor"]
    unverified = "" if scorer["verified"] else ", not verified"
    noise = "not measured" if floor is None else f"{floor:.1e} nats"
    return (
        f"{counted(len(report['memories']), 'memory', 'memories')} x {counted(len(report['responses']), 'response')}, "
        "divergence in nats; "
        f"scored by {scorer['model']} ({scorer['kind']}{unverified}); noise floor {noise}; "
        f"{cost['tokens_forwarded']} tokens forwarded ({cost['tokens_naive']} without reuse), {cost['seconds']} s"
    )


def _cell(value: float | None, status: str, floor: float) -> str:
    if value is None:
        return f"{'failed' if status == 'failed' else '?':>8}"
    if value == 0 or abs(value) <= floor:
        return f"{'·':>8}"
    return f"{value:>8.2f}"


def _memory(grid: Grid, index: int) -> dict[str, Any]:
    row = grid.rows[index]
    entry = {
        "key": row.key,
        "section": row.section,
        "tokens": row.tokens,
        "importance": grid.importance(index),
        "max": grid.maximum(index),
        "status": grid.status[index],
    }
    if row.key in grid.errors:
        entry["error"] = grid.errors[row.key]
    return entry


def _response(grid: Grid, column: Column) -> dict[str, Any]:
    return {
        "id": column.id,
        "index": column.index,
        "entry_index": column.entry_index,
        "thread": column.thread,
        "tokens": column.tokens,
        "logprob": _none_if_nan(grid.logprob[column.index]),
        "dependence": grid.dependence(column.index),
        "preview": column.preview,
        "timestamp": column.timestamp,
        "model": column.model or None,
        "mean_logprob": _none_if_nan(mean_logprob(grid, column)),
        "cited": list(column.cited),
        **({"cut": True} if column.cut else {}),
    }


def _row(grid: Grid, index: int) -> Sequence[float | None]:
    if grid.status[index] == "failed":
        return [None] * len(grid.columns)
    values: array[float] = grid.values[index]
    return [_none_if_nan(value) for value in values]


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
