"""Fine-tuning: candidates, sending to training, and the proof that it worked.

Panes and commands drive it, as they drive a `Run`, and its events go to the run's listeners.
"""

from __future__ import annotations

from memscope.run.candidates import Candidates
from memscope.run.run import Run
from memscope.run.shipping import Shipping
from memscope.store.session_marks import SessionMarks
from memscope.training.proof import Proof

__all__ = ["FineTuning"]


class FineTuning:
    """The round around one run.

    Attributes:
        run: Whose responses.
        marks: What was decided about them and sent, in memory.
        shipping: What is sent, and what became of it.
        candidates: What could be.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.marks = SessionMarks(run.database, run.session.header.id)
        self.shipping = Shipping(run, self.marks)
        self.candidates = Candidates(run, self.shipping, self.marks)

    async def verify(self, key: str) -> Proof:
        """Compare before and after a shipment, and find the candidates anew.

        Raises:
            MemscopeError: The scorer failed, or there is no such shipment, or its job has not succeeded.
        """
        proof = await self.shipping.verify(key)
        await self.candidates.find()
        return proof
