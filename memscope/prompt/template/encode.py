"""Ids of what a chat template wrote, with the texts in it protected, cut only where a memory begins or ends.

Long stretches are encoded at once, so that with nothing left out the ids are those of the whole conversation. A text
in which the characters of a control token stand is encoded by itself, as text.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TypeAlias

from memscope.prompt.prompt import Piece, ids_of
from memscope.prompt.template.messages import Owner
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["Run", "StretchEncoder"]


@dataclass(frozen=True, slots=True)
class Run:
    """Some characters that belong together.

    Attributes:
        text: The characters.
        owner: Whose they are.
        protected: Whether they are text, which must not become control tokens.
        opens: Whether a message begins here.
    """

    text: str
    owner: Owner
    protected: bool
    opens: bool


_Ids: TypeAlias = "tuple[Owner, array[int]]"


class StretchEncoder:
    """Encodes runs and remembers stretches, which come again and again where every response has its own prompt."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._seam = re.compile("|".join(map(re.escape, tokenizer.seams)) or "(?!)")
        self._known: dict[tuple[Run, ...], tuple[Piece, ...]] = {}

    def pieces(self, runs: Iterable[Run]) -> Iterator[Piece]:
        """Yield the runs as pieces."""
        for number, stretch in enumerate(self._stretches(runs)):
            if number == 0:
                yield from self._encoded(stretch, middle=False)
                continue
            if stretch not in self._known:
                self._known[stretch] = tuple(self._encoded(stretch, middle=True))
            yield from self._known[stretch]

    def _stretches(self, runs: Iterable[Run]) -> Iterator[tuple[Run, ...]]:
        """Cut where a message begins with a control token: there, a cut changes nothing."""
        stretch: list[Run] = []
        for run in runs:
            if run.opens and stretch and self._seam.match(run.text):
                yield tuple(stretch)
                stretch = []
            stretch.append(run)
        yield tuple(stretch)

    def _encoded(self, stretch: Sequence[Run], *, middle: bool) -> Iterator[Piece]:
        found: list[_Ids] = []
        for _, group in groupby(stretch, key=lambda run: run.owner.memory):
            found += self._ids(list(group), middle=middle or bool(found))
        for owner, parts in groupby(found, key=lambda part: part[0]):
            ids = ids_of()
            for _, more in parts:
                ids += more
            yield Piece(ids, owner.section, owner.position, owner.label, owner.memory, owner.response, owner.last)

    def _ids(self, runs: Sequence[Run], *, middle: bool) -> list[_Ids]:
        """Encode runs at once, or around those that would become control tokens."""
        text = "".join(run.text for run in runs)
        ends = list(accumulate(len(run.text) for run in runs))
        numbers, offsets = self._parsed(text, middle=middle)
        risky = self._risky(runs, ends, text, zip(numbers, offsets, strict=True))
        if risky:
            return self._around(runs, risky, middle=middle)
        found: list[_Ids] = [(run.owner, ids_of()) for run in runs]
        for number, (_, end) in zip(numbers, offsets, strict=True):
            found[bisect_left(ends, end)][1].append(number)
        return [part for part in found if part[1]]

    def _risky(
        self, runs: Sequence[Run], ends: Sequence[int], text: str, tokens: Iterable[tuple[int, tuple[int, int]]]
    ) -> set[int]:
        """Return the indices of protected runs in which control tokens were found."""
        risky: set[int] = set()
        for number, (start, end) in tokens:
            if self._tokenizer.is_control(number, text[start:end]):
                # Some control tokens take the spaces beside them along; those do no harm.
                name = self._tokenizer.control_names[number]
                at = start + max(0, text[start:end].find(name))
                touched = range(bisect_right(ends, at), bisect_left(ends, min(end, at + len(name))) + 1)
                risky.update(index for index in touched if runs[index].protected)
        return risky

    def _around(self, runs: Sequence[Run], risky: set[int], *, middle: bool) -> list[_Ids]:
        found: list[_Ids] = []
        for apart, group in groupby(range(len(runs)), key=lambda index: index in risky):
            members = [runs[index] for index in group]
            inside = middle or bool(found)
            if not apart:
                found += self._ids(members, middle=inside)
                continue
            tokenizer = self._tokenizer.continuing if inside else self._tokenizer
            found += [(run.owner, ids_of(tokenizer.encode(run.text))) for run in members]
        return found

    def _parsed(self, text: str, *, middle: bool) -> tuple[list[int], list[tuple[int, int]]]:
        numbers, offsets = self._tokenizer.parse(text)
        continuing = self._tokenizer.continuing
        if not middle or continuing is self._tokenizer:
            return numbers, offsets
        # What comes before the first control token goes on where another text ended.
        tokens = enumerate(zip(numbers, offsets, strict=True))
        first = next((n for n, (i, (a, b)) in tokens if self._tokenizer.is_control(i, text[a:b])), len(numbers))
        lead = text[: offsets[first][0]] if first < len(numbers) else text
        lead_numbers, lead_offsets = continuing.parse(lead)
        return lead_numbers + numbers[first:], lead_offsets + offsets[first:]
