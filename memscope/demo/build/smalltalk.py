"""Topics of the demo sessions besides facts: world knowledge, preferences, small talk."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PREFERENCES", "SMALL_TALK", "WORLD", "Preference"]


@dataclass(frozen=True)
class Preference:
    """Something the user wants done in a certain way, and what is done without knowing it."""

    name: str
    values: tuple[str, ...]
    says: str
    asks: tuple[str, ...]
    followed: str
    ignored: str


WORLD: tuple[tuple[str, str, str], ...] = (
    ("capital of France", "The capital of France is Paris.", "What is the capital of France?"),
    ("capital of Japan", "The capital of Japan is Tokyo.", "What is the capital of Japan?"),
    ("https port", "HTTPS uses port 443 by default.", "Which port does HTTPS use by default?"),
    ("ssh port", "SSH uses port 22 by default.", "Which port does SSH use by default?"),
    ("boiling point", "Water boils at 100 degrees Celsius.", "At what temperature does water boil?"),
    ("days in a week", "A week has seven days.", "How many days does a week have?"),
    ("git undo", "You can undo the last commit with git reset HEAD~1.", "How do I undo the last commit?"),
    ("http 404", "Status 404 means that the page was not found.", "What does status 404 mean?"),
    ("python list", "In Python you append to a list with append().", "How do I append to a list in Python?"),
    ("exit code", "An exit code of 0 means success.", "What does an exit code of 0 mean?"),
    ("largest planet", "The largest planet is Jupiter.", "What is the largest planet?"),
    ("byte", "A byte has eight bits.", "How many bits does a byte have?"),
)
"""World knowledge of the model: key, statement, question."""

PREFERENCES: tuple[Preference, ...] = (
    Preference(
        name="indent",
        values=("tabs", "spaces"),
        says="The user indents code with {v}.",
        asks=("Write a small helper for the {s}.", "Add a function to the {s}."),
        followed="Done. I added it to the {s}, indented with {v}.",
        ignored="Done. I added it to the {s} in the default style.",
    ),
    Preference(
        name="language",
        values=("Go", "Rust", "Kotlin", "Python", "Ruby", "Elixir"),
        says="The user wants new tools written in {v}.",
        asks=("Sketch a tool that checks the {s}.", "I want a small tool for the {s}."),
        followed="Here is a sketch of a tool for the {s}, written in {v}.",
        ignored="Here is a sketch of a tool for the {s}, in no language yet.",
    ),
    Preference(
        name="length",
        values=("one line", "three bullets", "a short table"),
        says="The user wants summaries as {v}.",
        asks=("Summarise the state of the {s}.", "Give me a summary of the {s}."),
        followed="Summary as {v}: the {s} is healthy.",
        ignored="Summary: the {s} is healthy and nothing stands out.",
    ),
    Preference(
        name="greeting",
        values=("captain", "boss", "friend", "chief"),
        says="The user likes to be called {v}.",
        asks=("Good morning!", "Hello there."),
        followed="Hello {v}, what shall we do today?",
        ignored="Hello, what shall we do today?",
    ),
)

SMALL_TALK: tuple[tuple[str, str], ...] = (
    ("Thanks!", "You're welcome."),
    ("Great, thank you.", "Happy to help."),
    ("Are you there?", "Yes, I'm here."),
    ("Hold on a second.", "Sure, take your time."),
    ("That worked.", "Good to hear that."),
    ("Let me think about it.", "Of course, there is no rush."),
    ("Can you help me with something?", "Sure, what do you need?"),
)
