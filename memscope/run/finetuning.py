"""Fine-tuning: candidates, sending to training, and measuring the effect.

The screen and the commands use it as they use a `Run`; its events go to the run's listeners.
"""

from __future__ import annotations

from memscope.run.candidates import Candidates
from memscope.run.run import Run
from memscope.run.shipping import Shipping
from memscope.store.session_marks import SessionMarks
from memscope.training.proof import Proof

__all__ = ["FineTuning"]


class FineTuning:
    """The fine-tuning workflow of one run.

    Attributes:
        run: The run whose responses are trained.
        marks: An in-memory copy of the stored decisions and shipments.
        shipping: Sends responses and follows the jobs.
        candidates: Finds responses to send.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.marks = SessionMarks(run.database, run.session.header.id)
        self.shipping = Shipping(run, self.marks)
        self.candidates = Candidates(run, self.shipping, self.marks)

    async def verify(self, key: str) -> Proof:
        """Compare before and after a shipment, and update the candidates.

        Raises:
            MemscopeError: The scorer failed, the shipment does not exist, or its job has not succeeded.
        """
        proof = await self.shipping.verify(key)
        await self.candidates.find()
        return proof
