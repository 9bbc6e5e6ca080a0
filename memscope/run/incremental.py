"""Incremental importance: re-score stale memories a few at a time, and remember how much each has mattered so far.

Commands and panes drive it, as they drive a `Run`, and its progress goes to the run's listeners.
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
    """Return whose memories a session holds: what is configured, else what its header says, else its file.

    Two agents may use the same key for different memories, so importance is never shared between agents.
    """
    if config.agent:
        return config.agent
    said = session.header.extra.get("agent")
    if isinstance(said, str) and said:
        return said
    return str(Path(session.source.path).resolve()) if session.source.path else session.header.id


class IncrementalScoring:
    """Scores the memories of a run that were not scored lately.

    Attributes:
        run: Whose memories.
        agent: The agent that they belong to.
        remembered: What is known of each memory under the weights in use, by key; empty before `score`.
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
        """Score every memory that is due. Each is remembered at once: an interruption loses only the one in progress.

        Args:
            max_age: Seconds after which a memory is due again.
            window: Responses after a memory's first appearance that are scored.
            context: Of the conversation, the window alone or everything before too.

        Raises:
            MemscopeError: There is no scorer, it is gone, or the session cannot be scored by it.
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
