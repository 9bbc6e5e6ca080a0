"""Generated sessions: the same for a seed, and answerable from their memories alone."""

from random import Random

import pytest

from memscope.demo.build.facts import KINDS
from memscope.demo.build.generator import Block, Shape, make_session
from memscope.demo.build.removal import remove_memories, training_session
from memscope.demo.build.smalltalk import PREFERENCES


def session(seed: int, shape: Shape | None = None) -> list[Block]:
    return make_session(Random(seed), shape or Shape(12, 12))


def test_a_seed_gives_one_session() -> None:
    assert session(7) == session(7)
    assert session(7) != session(8)


@pytest.mark.parametrize("seed", range(20))
def test_every_value_of_an_answer_stands_in_a_memory_it_needs_and_that_came_before(seed: int) -> None:
    blocks = session(seed)
    for number, answer in enumerate(blocks):
        memories = {b.key: b.text for b in blocks[:number] if b.role == "memory"}
        for value in answer.values:
            assert value in answer.text
            assert any(value in memories[key] for key in answer.needs)


@pytest.mark.parametrize("seed", range(20))
def test_without_its_memory_an_answer_states_no_value_of_it(seed: int) -> None:
    blocks = session(seed)
    keys = {b.key for b in blocks if b.role == "memory"}
    bare = remove_memories(blocks, keys)
    assert not any(b.role == "memory" for b in bare)
    for before, after in zip(
        [b for b in blocks if b.role == "assistant"], [b for b in bare if b.role == "assistant"], strict=True
    ):
        if before.needs:
            assert after.values == ()
            assert after.text != before.text
        else:
            assert after == before


def test_taking_one_of_two_memories_keeps_the_other_part() -> None:
    blocks = next(blocks for blocks in map(session, range(200)) if any(b.kind == "two" for b in blocks))
    number, answer = next((n, b) for n, b in enumerate(blocks) if b.kind == "two")
    after = remove_memories(blocks[: number + 1], {answer.needs[0]})[-1]
    assert after.values == answer.values[1:]
    assert answer.parts[0][1] in after.text


def test_a_larger_share_removes_more_memories() -> None:
    def dropped(forget: float) -> int:
        made = [training_session(Random(n), Shape(8, 6), forget) for n in range(60)]
        return sum(any(b.kind == "dropped" for b in blocks) for blocks in made)

    assert dropped(0.0) < dropped(0.6)


def test_every_kind_asks_and_says_in_several_ways() -> None:
    for kind in KINDS.values():
        assert len(kind.says) >= 2
        assert len(kind.asks) >= 2
        assert all("{e}" in text for text in (*kind.says, *kind.asks, kind.unknown, kind.key))
        assert kind.unknown.startswith("I don't know")
    assert all("{v}" in preference.followed for preference in PREFERENCES)
