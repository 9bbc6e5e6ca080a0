"""Positions of a prompt's nodes, shared between prompts that extend each other.

A long conversation has a prompt per response, and each repeats the one before it: as tuples they would take memory and
time that grow with the square of its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

__all__ = ["Positions"]


class Positions(Sequence[int]):
    """An immutable sequence of positions, equal to a tuple of the same positions.

    Attributes:
        origin: An object that is the same for all sequences that were made from each other by `extended` and begin with
            the same positions, the longer with all of the shorter ones.
    """

    __slots__ = ("_length", "_members", "origin")

    def __init__(self, values: Iterable[int] = ()) -> None:
        """Create a sequence that shares nothing."""
        self.origin: list[int] = list(values)
        self._members = set(self.origin)
        self._length = len(self.origin)

    def extended(self, values: Iterable[int]) -> Positions:
        """Return these positions and more; what is the same is shared, unless others were added here before."""
        if len(self.origin) > self._length:
            return Positions((*self, *values))
        added = tuple(values)
        self.origin.extend(added)
        self._members.update(added)
        made = Positions.__new__(Positions)
        made.origin, made._members, made._length = self.origin, self._members, len(self.origin)
        return made

    def __contains__(self, value: object) -> bool:
        # Sequences that are longer have all members of this one, so that most lookups end here.
        return value in self._members and value in islice(self.origin, self._length)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...

    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        if not isinstance(index, slice):
            return self.origin[range(self._length)[index]]
        start, stop, step = index.indices(self._length)
        if step == 1:
            return tuple(self.origin[start:stop])
        return tuple(self.origin[place] for place in range(start, stop, step))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return islice(self.origin, self._length)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Positions):
            same = self.origin is other.origin and self._length == other._length
            return same or (self._length == other._length and tuple(self) == tuple(other))
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
