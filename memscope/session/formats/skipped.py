"""Tell what of a file was skipped, by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memscope.terminal.counts import counted

__all__ = ["skipped_lines"]

_KINDS_NAMED = 30
"""Kinds that are told by name; the others are counted, as a file may have any number of them."""


def skipped_lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield "<count> <kind>s skipped" for the kinds that came first, and one line for all others."""
    kinds = list(counts.items())
    yield from (f"{counted(count, kind)} skipped" for kind, count in kinds[:_KINDS_NAMED])
    if more := kinds[_KINDS_NAMED:]:
        total = sum(count for _, count in more)
        yield f"{counted(total, 'item')} of {counted(len(more), 'more kind')} skipped"
