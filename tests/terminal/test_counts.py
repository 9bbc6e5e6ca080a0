"""Numbers of things, in words that agree."""

from memscope.terminal.counts import counted


def test_one_is_singular_and_everything_else_plural() -> None:
    assert [counted(n, "memory", "memories") for n in (0, 1, 2)] == ["0 memories", "1 memory", "2 memories"]
    assert [counted(n, "response") for n in (0, 1, 2)] == ["0 responses", "1 response", "2 responses"]
