"""What the agent of the live demo knows and what its user says."""

from __future__ import annotations

from memscope.demo.live.notebook import Note

__all__ = ["ALWAYS", "NOTES", "SYSTEM", "TURNS"]

SYSTEM = "You are a helpful agent."

ALWAYS = (
    Note("identity", "You are Nadia, the assistant of Tomas."),
    Note("user/greeting", "The user likes to be called boss."),
    Note("user/language", "The user wants new tools written in Rust."),
)
"""Memories that are in every prompt."""

NOTES = (
    Note("staging-database/port", "The staging database listens on port 7432."),
    Note("staging-database/host", "The staging database runs on host otter-12."),
    Note("search-cache/port", "The search cache uses port 8250."),
    Note("search-cache/old-note", "The search cache listens on port 6100."),
    Note("search-cache/owner", "The owner of the search cache is Jonas."),
    Note("billing-queue/owner", "The billing queue is owned by Priya."),
    Note("billing-queue/timeout", "The billing queue times out after 45 seconds."),
    Note("orchid/deploy", "The deploy script for orchid is ops/ship.sh."),
    Note("orchid/rollback", "The rollback script for orchid is tools/drain-tag.sh."),
    Note("orchid/branch", "The release branch of orchid is stable-lynx."),
    Note("orchid/date", "The orchid project ships on March 14."),
    Note("orchid/deadline", "The deadline for orchid is March 14."),
    Note("falcon/budget", "The budget of falcon is 42,500 euros."),
    Note("falcon/version", "The falcon project is pinned to redis 7.2."),
    Note("mira/room", "Mira sits in room C217."),
    Note("mira/allergy", "Mira is allergic to walnuts."),
    Note("priya/phone", "The extension of Priya is 4821."),
    Note("priya/city", "Priya lives in Lisbon."),
    Note("retro/meeting", "The retro meeting is on Thursday at 15:30."),
    Note("nightly-leak/ticket", "The ticket for the nightly leak is OPS-1482."),
    Note("geography/france", "The capital of France is Paris."),
)
"""Memories that the agent retrieves when a question needs them."""

TURNS: tuple[str | Note, ...] = (
    "Good morning!",
    "Which port does the staging database use?",
    "Who owns the billing queue?",
    "What is the extension of Priya?",
    "Run the deploy script for orchid.",
    "What is the deadline for orchid?",
    "Where does Mira sit? What is Mira allergic to?",
    "What is the capital of France?",
    "Sketch a tool that checks the search cache.",
    "When is the retro meeting?",
    "Who owns the ledger gateway?",
    "What is the budget of falcon?",
    "Who are you?",
    Note("mira/room", "Mira sits in room D340."),
    "Where does Mira sit?",
    "What port is the search cache on?",
    "What is falcon pinned to?",
    "What is the ticket for the nightly leak?",
    "When does the billing queue time out?",
    Note("staging-database/port", "The staging database listens on port 5117."),
    "Which port does the staging database use?",
    "Run the rollback script for orchid.",
    "Where does Priya live?",
    "Which host runs the staging database?",
    "What is the release branch of orchid?",
    "Who is the owner of the search cache?",
    "Thanks!",
)
"""What the user says; a note in between is written into the notebook before the next turn."""
