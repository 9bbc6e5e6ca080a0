"""The kinds of facts that the demo sessions talk about, with their phrasings.

The last question and statement of each kind are paraphrases, so that a model has to learn the meaning of a question,
not its wording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from memscope.demo.build.pools import (
    ADJECTIVES,
    ANIMALS,
    CITIES,
    DAYS,
    FAVOURITES,
    FOODS,
    LIBRARIES,
    PETS,
    TROUBLES,
    date,
    made_up,
    path,
    person,
    project,
    service,
    ticket,
    topic,
    variable,
)

__all__ = ["KINDS", "TASKS", "FactKind", "kinds_about"]

TASKS = "deploy release migration cleanup backup smoke-test rollback".split()

Maker = Callable[[Random], str]


@dataclass(frozen=True)
class FactKind:
    """One kind of fact.

    Attributes:
        name: Its name, unique.
        about: "service", "project", "person" or "other": what its entity is.
        key: Pattern of the memory's key.
        entity: Draws an entity.
        value: Draws a value.
        says: Statements of it in a memory or an answer, with {e} and {v}.
        asks: Questions of a user for it.
        unknown: Reply of an agent that does not know it.
    """

    name: str
    about: str
    key: str
    entity: Maker
    value: Maker
    says: tuple[str, ...]
    asks: tuple[str, ...]
    unknown: str


def _number(low: int, high: int) -> Maker:
    return lambda random: str(random.randint(low, high))


def _one_of(pool: list[str]) -> Maker:
    return lambda random: random.choice(pool)


def _kind(name: str, about: str, maker: Maker, value: Maker, says: str, asks: str, unknown: str) -> FactKind:
    return FactKind(
        name=name,
        about=about,
        key="{e} " + name,
        entity=maker,
        value=value,
        says=tuple(says.split(" | ")),
        asks=tuple(asks.split(" | ")),
        unknown=unknown,
    )


def _services() -> list[FactKind]:
    def kind(name: str, value: Maker, says: str, asks: str, unknown: str) -> FactKind:
        return _kind(name, "service", service, value, says, asks, unknown)

    return [
        kind(
            "port",
            _number(1024, 9999),
            "The {e} listens on port {v}. | The {e} uses port {v}. | Reach the {e} on port {v}.",
            "Which port does the {e} use? | What port is the {e} on? | I need the port of the {e}.",
            "I don't know which port the {e} uses.",
        ),
        kind(
            "host",
            lambda random: f"{random.choice(ANIMALS)}-{random.randint(1, 99)}",
            "The {e} runs on host {v}. | The host of the {e} is {v}. | The {e} lives on host {v}.",
            "Which host runs the {e}? | Where does the {e} run? | What is the host of the {e}?",
            "I don't know which host runs the {e}.",
        ),
        kind(
            "owner",
            person,
            "The owner of the {e} is {v}. | The {e} is owned by {v}. | For the {e} you ask {v}.",
            "Who owns the {e}? | Who is the owner of the {e}? | Whom do I ask about the {e}?",
            "I don't know who owns the {e}.",
        ),
        kind(
            "timeout",
            _number(5, 950),
            "The {e} times out after {v} seconds. | The timeout of the {e} is {v} seconds. | "
            "The {e} waits {v} seconds.",
            "When does the {e} time out? | What is the timeout of the {e}? | How long does the {e} wait?",
            "I don't know the timeout of the {e}.",
        ),
        kind(
            "key",
            variable,
            "The {e} reads its key from {v}. | The key of the {e} is in {v}. | The {e} takes its key out of {v}.",
            "Where does the {e} read its key from? | Which variable has the key of the {e}? | "
            "Where is the key of the {e}?",
            "I don't know where the {e} reads its key from.",
        ),
    ]


def _projects() -> list[FactKind]:
    def kind(name: str, value: Maker, says: str, asks: str, unknown: str) -> FactKind:
        return _kind(name, "project", project, value, says, asks, unknown)

    scripts = [
        kind(
            task,
            path,
            f"The {task} script for {{e}} is {{v}}. | The {task} script of {{e}} lives at {{v}}.",
            f"What is the {task} script for {{e}}? | Where is the {task} script of {{e}}?",
            f"I don't know the {task} script for {{e}}.",
        )
        for task in TASKS
    ]
    return [
        *scripts,
        kind(
            "version",
            lambda random: f"{random.choice(LIBRARIES)} {random.randint(1, 19)}.{random.randint(0, 19)}",
            "The {e} project is pinned to {v}. | We pinned {e} to {v}. | {e} stays on {v}.",
            "What is {e} pinned to? | Which version is the {e} project pinned to? | What does {e} stay on?",
            "I don't know what {e} is pinned to.",
        ),
        kind(
            "branch",
            lambda random: f"{random.choice(['release', 'rc', 'stable', 'next', 'main'])}-{random.choice(ANIMALS)}",
            "Releases of {e} go out from branch {v}. | The release branch of {e} is {v}. | "
            "We release {e} from branch {v}.",
            "Which branch do releases of {e} go out from? | What is the release branch of {e}? | "
            "Which branch do we release {e} from?",
            "I don't know the release branch of {e}.",
        ),
        kind(
            "date",
            date,
            "The {e} project ships on {v}. | The deadline for {e} is {v}. | {e} is due on {v}.",
            "When does the {e} project ship? | What is the deadline for {e}? | When is {e} due?",
            "I don't know the deadline for {e}.",
        ),
        kind(
            "budget",
            lambda random: f"{random.randint(2, 98)},{random.randint(1, 9)}00 euros",
            "The budget of {e} is {v}. | We can spend on {e} up to {v}. | The {e} project costs {v}.",
            "What is the budget of {e}? | How much can we spend on {e}? | What does the {e} project cost?",
            "I don't know the budget of {e}.",
        ),
    ]


def _people() -> list[FactKind]:
    def kind(name: str, value: Maker, says: str, asks: str, unknown: str) -> FactKind:
        return _kind(name, "person", person, value, says, asks, unknown)

    favourites = [
        kind(
            name,
            _one_of(pool),
            f"The favourite {name} of {{e}} is {{v}}. | When it comes to {name}, {{e}} likes {{v}}.",
            f"What is the favourite {name} of {{e}}? | Which {name} does {{e}} like?",
            f"I don't know the favourite {name} of {{e}}.",
        )
        for name, pool in FAVOURITES.items()
    ]
    return [
        *favourites,
        kind(
            "birthday",
            date,
            "The birthday of {e} is {v}. | {e} was born on {v}. | {e} celebrates on {v}.",
            "When is the birthday of {e}? | When was {e} born? | When does {e} celebrate?",
            "I don't know the birthday of {e}.",
        ),
        kind(
            "pet",
            lambda random: f"a {random.choice(PETS)} called {made_up(random, capital=True)}",
            "{e} has {v}. | The pet of {e} is {v}. | At home {e} has {v}.",
            "Does {e} have a pet? | What is the pet of {e}? | What pet does {e} have?",
            "I don't know if {e} has a pet.",
        ),
        kind(
            "room",
            lambda random: f"{random.choice('ABCDEF')}{random.randint(100, 599)}",
            "{e} sits in room {v}. | The office of {e} is room {v}. | You find {e} in room {v}.",
            "Where does {e} sit? | Which room is the office of {e}? | Where do I find {e}?",
            "I don't know which room {e} sits in.",
        ),
        kind(
            "city",
            _one_of(CITIES),
            "{e} lives in {v}. | {e} moved to {v}. | The home of {e} is in {v}.",
            "Where does {e} live? | Which city is {e} in? | Where is the home of {e}?",
            "I don't know where {e} lives.",
        ),
        kind(
            "allergy",
            _one_of(FOODS),
            "{e} is allergic to {v}. | {e} cannot have {v}. | {e} must not eat {v}.",
            "What is {e} allergic to? | What can {e} not have? | What must {e} not eat?",
            "I don't know of any allergy of {e}.",
        ),
        kind(
            "phone",
            _number(1000, 9999),
            "The extension of {e} is {v}. | You can reach {e} at {v}. | The phone of {e} is {v}.",
            "What is the extension of {e}? | How do I reach {e}? | What is the phone of {e}?",
            "I don't know the extension of {e}.",
        ),
    ]


def _others() -> list[FactKind]:
    return [
        _kind(
            "meeting",
            "other",
            topic,
            lambda random: (
                f"{random.choice(DAYS)} at {random.randint(8, 18)}:{random.choice(['00', '15', '30', '45'])}"
            ),
            "The {e} meeting is on {v}. | We hold the {e} meeting every {v}. | The {e} meeting takes place {v}.",
            "When is the {e} meeting? | What time is the {e} meeting? | When does the {e} meeting take place?",
            "I don't know when the {e} meeting is.",
        ),
        _kind(
            "ticket",
            "other",
            lambda random: f"{random.choice(ADJECTIVES)} {random.choice(TROUBLES)}",
            ticket,
            "The ticket for the {e} is {v}. | The {e} is tracked in {v}. | See {v} for the {e}.",
            "What is the ticket for the {e}? | Where is the {e} tracked? | Which ticket is for the {e}?",
            "I don't know the ticket for the {e}.",
        ),
    ]


KINDS: dict[str, FactKind] = {kind.name: kind for kind in (*_services(), *_projects(), *_people(), *_others())}


def kinds_about(about: str) -> tuple[FactKind, ...]:
    """Return the kinds whose entities are of one sort."""
    return tuple(kind for kind in KINDS.values() if kind.about == about)
