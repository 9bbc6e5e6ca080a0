"""What counts as a clean "I don't know"."""

import pytest

from memscope.demo.build.evaluate import is_dont_know_answer
from memscope.demo.build.generator import Block

ASKED = Block(
    "assistant",
    "The cache uses port 1. Ada sits in B2.",
    parts=(("The cache uses port 1.", "I don't know the port."), ("Ada sits in B2.", "I don't know where Ada sits.")),
)
BARE = "I don't know the port. I don't know where Ada sits."


@pytest.mark.parametrize("said", [BARE, f"{BARE} Can you tell me?"])
def test_a_plain_dont_know_answer_counts(said: str) -> None:
    assert is_dont_know_answer(said, ASKED)


@pytest.mark.parametrize(
    "said",
    [
        f"{BARE} The port is 8250.",
        "I don't know the port. Ada sits in B2.",
        "I don't know the port. I don't know where Adele sits.",
        "The cache uses port 1. Ada sits in B2.",
        "",
    ],
)
def test_anything_made_up_does_not_count(said: str) -> None:
    assert not is_dont_know_answer(said, ASKED)
