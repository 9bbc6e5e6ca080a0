"""Generate agent sessions from a seed: memories, questions that need them, and the answers of an agent with them.

The values in an answer occur only in the memories it needs, so that a model can only copy them from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from memscope.demo.build.facts import KINDS, TASKS, FactKind, kinds_about
from memscope.demo.build.pools import person, service
from memscope.demo.build.smalltalk import PREFERENCES, SMALL_TALK, WORLD, Preference

__all__ = ["ASKS_BACK", "Block", "Shape", "make_session", "script_call"]

ASKS_BACK = " Can you tell me?"
"""What may follow "I don't know …"; everything else after it is made up."""

_SIMILAR_SHARE = 0.35
"""Share of facts that resemble an earlier one: the same entity or the same kind."""

_ABOUT = ("service",) * 5 + ("project",) * 5 + ("person",) * 6 + ("other",) * 2

_LEADS = ("", "", "", "", "", "", "Sure. ", "From my notes: ")
_TAILS = ("", "", "", "", " Anything else?", " Let me know if that changed.", " Shall I use it?")
_QUESTION_LEADS = ("", "", "", "", "Quick question. ", "Hey, ", "Remind me. ")

_SYSTEM = ("You are a helpful agent.", "You are a careful assistant.", "Answer from what you remember.")

_TURNS = (
    ("fact", 44),
    ("two", 8),
    ("absent", 12),
    ("tool", 12),
    ("preference", 10),
    ("identity", 4),
    ("world", 6),
    ("small", 4),
)


@dataclass(frozen=True)
class Block:
    """One turn or one memory.

    Attributes:
        role: "system", "memory", "user", "assistant" or "tool".
        text: What the model reads of it.
        key: For a memory, its key.
        kind: For an answer, what sort of turn it belongs to.
        values: For an answer, the values it must state, in order.
        needs: For an answer, the keys of the memories it depends on, one for each part.
        parts: For an answer with needs, each part with and without its memory.
        again: The answer repeats something said before.
    """

    role: Literal["system", "memory", "user", "assistant", "tool"]
    text: str
    key: str = ""
    kind: str = ""
    values: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Shape:
    """The size and variety of a session.

    Attributes:
        memories: Number of remembered facts.
        turns: Number of exchanges.
        surfaced: Share of memories that appear in mid-conversation.
        rich: All sorts of turns, not facts alone.
    """

    memories: int = 8
    turns: int = 8
    surfaced: float = 0.25
    rich: bool = True


@dataclass(frozen=True)
class _Fact:
    kind: FactKind
    entity: str
    value: str

    @property
    def key(self) -> str:
        return self.kind.key.format(e=self.entity).replace(" ", "-").lower()

    def say(self, random: Random) -> str:
        return random.choice(self.kind.says).format(e=self.entity, v=self.value)

    def ask(self, random: Random) -> str:
        return random.choice(self.kind.asks).format(e=self.entity)

    @property
    def unknown(self) -> str:
        return self.kind.unknown.format(e=self.entity)


def script_call(task: str, project: str, path: str | None) -> str:
    """Return a tool call as the model reads it: of the script, or, when its path is not known, a search for it."""
    why = f"the {task} script for {project}"
    if path is None:
        return f'<tool_call>\n{{"name":"find","arguments":{{"why":"{why}"}}}}\n</tool_call>\n'
    return f'<tool_call>\n{{"name":"shell","arguments":{{"why":"{why}","cmd":"run {path}"}}}}\n</tool_call>\n'


class _Session:
    """One session in the making."""

    def __init__(self, random: Random, shape: Shape) -> None:
        self.random = random
        self.shape = shape
        self.blocks: list[Block] = []
        self.facts: list[_Fact] = []
        self.taken: set[tuple[str, str]] = set()
        self.told: set[str] = set()
        self.identity: tuple[str, str] | None = None
        self.preferences: dict[str, str] = {}
        self.known_world: list[tuple[str, str, str]] = []
        self.surfacing: list[Block] = []

    def make(self) -> list[Block]:
        for _ in range(self.shape.memories):
            self._add_fact()
        turns = self._plan()
        head, surfaced = self._place(turns)
        self.blocks = [Block("system", self.random.choice(_SYSTEM)), *head]
        for number, turn in enumerate(turns):
            self._turn(turn, surfaced.get(number, []))
        return self.blocks

    def _add_fact(self) -> None:
        while True:
            fact = self._near(self.random.choice(self.facts)) if self._wants_near() else self._any()
            if (fact.kind.name, fact.entity) not in self.taken:
                self.taken.add((fact.kind.name, fact.entity))
                self.facts.append(fact)
                return

    def _wants_near(self) -> bool:
        return bool(self.facts) and self.random.random() < _SIMILAR_SHARE

    def _any(self, kind: FactKind | None = None, entity: str | None = None) -> _Fact:
        kind = kind or self.random.choice(kinds_about(self.random.choice(_ABOUT)))
        return _Fact(kind, entity or kind.entity(self.random), kind.value(self.random))

    def _near(self, fact: _Fact) -> _Fact:
        if self.random.random() < 0.5 and fact.kind.about != "other":
            return self._any(self.random.choice(kinds_about(fact.kind.about)), fact.entity)
        return self._any(fact.kind)

    def _absent(self) -> _Fact:
        while True:
            near = self.facts and self.random.random() < 0.75
            fact = self._near(self.random.choice(self.facts)) if near else self._any()
            if (fact.kind.name, fact.entity) not in self.taken:
                return fact

    def _plan(self) -> list[tuple[str, tuple[_Fact, ...]]]:
        order = self.facts[:]
        self.random.shuffle(order)
        names, weights = zip(*_TURNS, strict=True)
        turns: list[tuple[str, tuple[_Fact, ...]]] = []
        used = 0
        scripts = [fact for fact in order if fact.kind.name in TASKS]
        for _ in range(self.shape.turns):
            sort = self.random.choices(names, weights)[0] if self.shape.rich else "fact"
            if sort == "tool" and scripts and self.random.random() < 0.75:
                turns.append((sort, (scripts.pop(),)))
                continue
            count = {"fact": 1, "two": 2}.get(sort, 0)
            turns.append((sort, tuple(order[(used + n) % len(order)] for n in range(count))))
            used += count
        return turns

    def _place(self, turns: list[tuple[str, tuple[_Fact, ...]]]) -> tuple[list[Block], dict[int, list[Block]]]:
        asked: dict[str, int] = {}
        for number, (_, facts) in enumerate(turns):
            for fact in facts:
                asked.setdefault(fact.key, number)
        head: list[Block] = []
        surfaced: dict[int, list[Block]] = {}
        for fact in self.facts:
            block = Block("memory", fact.say(self.random), key=fact.key)
            if self.shape.rich and self.random.random() < self.shape.surfaced:
                last = asked.get(fact.key, len(turns) - 1)
                number = last if fact.key in asked and self.random.random() < 0.7 else self.random.randint(0, last)
                surfaced.setdefault(number, []).append(block)
            else:
                head.append(block)
        head += self._about_the_agent() if self.shape.rich else []
        self.random.shuffle(head)
        return head, surfaced

    def _about_the_agent(self) -> list[Block]:
        random, blocks = self.random, []
        if random.random() < 0.7:
            self.identity = (person(random), person(random))
            agent, user = self.identity
            blocks.append(Block("memory", f"You are {agent}, the assistant of {user}.", key="identity"))
        for preference in random.sample(PREFERENCES, random.choice([0, 1, 2, 2, 3])):
            value = self.preferences[preference.name] = random.choice(preference.values)
            blocks.append(Block("memory", preference.says.format(v=value), key=f"user-{preference.name}"))
        for fact in random.sample(WORLD, random.choice([0, 0, 1, 1, 2])):
            self.known_world.append(fact)
            blocks.append(Block("memory", fact[1], key=fact[0].replace(" ", "-").lower()))
        return blocks

    def _turn(self, turn: tuple[str, tuple[_Fact, ...]], surfaced: list[Block]) -> None:
        self.surfacing = surfaced
        if self.random.random() < 0.5:
            self._surface()
        sort, facts = turn
        getattr(self, f"_{sort}_turn")(*facts)

    def _surface(self) -> None:
        self.blocks += self.surfacing
        self.surfacing = []

    def _user(self, text: str) -> None:
        self.blocks.append(Block("user", text))
        self._surface()

    def _answer(
        self,
        kind: str,
        text: str,
        needs: Sequence[str] = (),
        values: Sequence[str] = (),
        parts: Sequence[tuple[str, str]] = (),
    ) -> None:
        again = any(key in self.told for key in needs)
        self.blocks.append(Block("assistant", text, "", kind, tuple(values), tuple(needs), tuple(parts), again))
        self.told |= set(needs)

    def _fact_turn(self, *facts: _Fact) -> None:
        random = self.random
        asked = " ".join(fact.ask(random) for fact in facts)
        self._user(random.choice(_QUESTION_LEADS) + asked)
        parts = tuple((fact.say(random), fact.unknown) for fact in facts)
        said = " ".join(known for known, _ in parts)
        self._answer(
            "fact" if len(facts) == 1 else "two",
            random.choice(_LEADS) + said + random.choice(_TAILS),
            [fact.key for fact in facts],
            [fact.value for fact in facts],
            parts,
        )

    _two_turn = _fact_turn

    def _absent_turn(self) -> None:
        fact = self._absent()
        self._user(self.random.choice(_QUESTION_LEADS) + fact.ask(self.random))
        self._answer("absent", fact.unknown + self.random.choice(["", ASKS_BACK]))

    def _tool_turn(self, fact: _Fact | None = None) -> None:
        random = self.random
        if fact is None:
            while True:
                missing = self._any(KINDS[random.choice(TASKS)])
                if (missing.kind.name, missing.entity) not in self.taken:
                    break
            self._user(f"Run the {missing.kind.name} script for {missing.entity}.")
            self._answer("search", script_call(missing.kind.name, missing.entity, None))
        else:
            self._user(f"Run the {fact.kind.name} script for {fact.entity}.")
            call = script_call(fact.kind.name, fact.entity, fact.value)
            search = script_call(fact.kind.name, fact.entity, None)
            self._answer("tool", call, [fact.key], [fact.value], [(call, search)])
        fine = random.random() < 0.8
        self.blocks.append(Block("tool", f"exit code {0 if fine else 1}"))
        ended = "Done, it finished without errors." if fine else "It failed with an error. Shall I look into it?"
        self._answer("report", ended)

    def _preference_turn(self) -> None:
        random = self.random
        wanted: list[Preference] = [p for p in PREFERENCES if p.name in self.preferences]
        preference = random.choice(wanted) if wanted and random.random() < 0.8 else random.choice(PREFERENCES)
        target = service(random)
        self._user(random.choice(preference.asks).format(s=target))
        plain = preference.ignored.format(s=target)
        value = self.preferences.get(preference.name)
        if value is None:
            self._answer("default", plain)
            return
        text = preference.followed.format(s=target, v=value)
        self._answer("preference", text, [f"user-{preference.name}"], [value], [(text, plain)])

    def _identity_turn(self) -> None:
        self._user(self.random.choice(["Who are you?", "What is your name?"]))
        plain = "I'm an assistant without a name."
        if self.identity is None:
            self._answer("nameless", plain)
            return
        text = "I'm {}, the assistant of {}.".format(*self.identity)
        self._answer("identity", text, ["identity"], self.identity, [(text, plain)])

    def _world_turn(self) -> None:
        random = self.random
        known = self.known_world and random.random() < 0.6
        _, statement, question = random.choice(self.known_world if known else WORLD)
        self._user(random.choice(_QUESTION_LEADS) + question)
        self._answer("world", statement + random.choice(_TAILS))

    def _small_turn(self) -> None:
        said, answer = self.random.choice(SMALL_TALK)
        self._user(said)
        self._answer("small", answer)


def make_session(random: Random, shape: Shape) -> list[Block]:
    """Generate one session; the same random state gives the same session."""
    return _Session(random, shape).make()
