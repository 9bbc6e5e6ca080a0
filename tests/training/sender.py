"""A process to be killed: sends one prepared shipment after the other until it ends.

`python sender.py STATE_FOLDER URL NAME`; prints a line once the first is about to leave. Imports nothing heavy.
"""

from __future__ import annotations

import asyncio
import os
import sys
from array import array
from itertools import count
from pathlib import Path

from memscope.engines.transport import Transport
from memscope.secret import Secret
from memscope.store.database import Database
from memscope.store.ledger import Ledger, Sample
from memscope.training.samples import TrainingSample, training_data
from memscope.training.send import TrainingServer, ship


async def main(folder: Path, url: str, name: str) -> None:
    """Send until killed."""
    ledger = Ledger(Database(folder))
    transport = Transport(url, Secret(os.environ["MEMSCOPE_API_KEY"]))
    server = TrainingServer(transport)
    samples = [TrainingSample(0, array("I", [5, 6]), array("I", [7]))]
    await transport.alive()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in count():
        key = ledger.prepare(server.address, "tiny", "s", "without", [Sample(f"{name}-{number}", 0, 1.0)])
        await ship(ledger, server, key, training_data(samples, "tiny"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
