"""Incremental importance: re-score stale memories a few at a time and keep a moving average for each.

The screen and the commands use it as they use a `Run`; its progress goes to the run's listeners.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from memscope.config import Config
from memscope.run.run import Run
from memscope.scoring.events import Progress
from memscope.scoring.finetune import Context
from memscope.scoring.importance import (
    MAX_AGE_SECONDS,
    WINDOW_RESPONSES,
    IncrementalResult,
    MemoryScore,
    due_memories,
    memory_texts,
    score_incrementally,
)
from memscope.scoring.rescoring import Cost
from memscope.session.nodes import Session
from memscope.store.memory_weights import MemoryWeight, MemoryWeights

__all__ = ["IncrementalScoring", "agent_name"]


def agent_name(session: Session, config: Config) -> str:
    """Return the agent that a session's memories belong to: as configured, or else from its header or file name.

    Two agents may use the same key for different memories, so importance is never shared between agents.
    """
    if config.agent:
        return config.agent
    said = session.header.extra.get("agent")
    if isinstance(said, str) and said:
        return said
    return str(Path(session.source.path).resolve()) if session.source.path else session.header.id


class IncrementalScoring:
    """Scores the memories of a run that were not scored recently.

    Attributes:
        run: The run whose memories are scored.
        agent: The agent that the memories belong to.
        remembered: The stored weight of each memory under the model weights in use, by key; empty before `score`.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.agent = agent_name(run.session, run.config)
        self.remembered: Mapping[str, MemoryWeight] = {}

    async def score(
        self,
        max_age: float = MAX_AGE_SECONDS,
        window: int = WINDOW_RESPONSES,
        context: Context = "window",
    ) -> IncrementalResult:
        """Score every memory that is due and store each result at once, so that an interruption loses only one memory.

        Args:
            max_age: Seconds after which a memory is due again.
            window: How many responses after a memory's first appearance are scored.
            context: The conversation context: only the window, or everything before it too.

        Raises:
            MemscopeError: No scorer is available, or it cannot score the session.
        """
        await self.run.open()
        self.run.cost = Cost()
        return await self.run.retry_if_weights_change(lambda: self._score(max_age, window, context))

    async def _score(self, max_age: float, window: int, context: Context) -> IncrementalResult:
        database, texts = self.run.database, memory_texts(self.run.session)
        weights = MemoryWeights(database, self.run.rescorer.weights, self.agent)
        known = await database.run(weights.all)
        remembered = {key: known[key, text] for key, text in texts.items() if (key, text) in known}
        self.remembered = remembered
        due = due_memories(self.run.prompt, remembered.copy(), time.time(), max_age)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            self.run.emit(Progress(done, len(due.memories), None, None))

        async def keep(score: MemoryScore) -> None:
            key = score.key
            remembered[key] = await database.run(weights.add, key, texts[key], score.maximum, time.time())
            advance()

        return await score_incrementally(
            self.run.prompt,
            self.run.rescorer,
            self.run.cost,
            due,
            keep,
            lambda _key, _error: advance(),
            window=window,
            context=context,
        )
