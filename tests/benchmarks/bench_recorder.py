"""What `memscope.Recorder` adds to the start of an agent, and to each of its calls.

`python tests/benchmarks/bench_recorder.py`: the CPU time of fresh processes that import and use the Recorder, as a
share of what `import httpx` takes in the same run (the best of several runs each); and the time of a call in a long
conversation whose system message has ten memories, which change from call to call.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import memscope

_RECORD = "import memscope; memscope.Recorder({path!r}).call('a', 'b')"
_TIMED = "import time; start = time.process_time(); {program}; print(time.process_time() - start)"


def cpu_seconds(program: str, runs: int, folder: Path) -> float:
    """Return the CPU time of a program, the best of several fresh processes."""
    times = []
    for run in range(runs):
        code = _TIMED.format(program=program.format(path=str(folder / f"{run}.jsonl")))
        times.append(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    return min(times)


def call_seconds(calls: int, folder: Path) -> list[float]:
    """Return the time of each call of a conversation that grows."""
    times = []
    history: list[object] = []
    with memscope.Recorder(folder / "long.jsonl") as recorder:
        for call in range(calls):
            memories = [
                recorder.memory(f"key/{n}", f"memory {n} " + "text " * 20) for n in range(call % 3, call % 3 + 10)
            ]
            messages = [{"role": "system", "content": memories}, *history, {"role": "user", "content": f"{call} " * 50}]
            start = time.perf_counter()
            recorder.call(messages, f"answer {call} " * 50)
            times.append(time.perf_counter() - start)
            history += [messages[-1], {"role": "assistant", "content": f"answer {call} " * 50}]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        other, own = (cpu_seconds(program, options.runs, folder) for program in ("import httpx", _RECORD))
        print(f"import httpx {other * 1e3:.1f} ms, Recorder {own * 1e3:.1f} ms of CPU time: {own / other:.2f} of it")
        times = call_seconds(options.calls, folder)
        size = (folder / "long.jsonl").stat().st_size
    first, last = (sorted(part)[len(part) // 2] * 1e3 for part in (times[:20], times[-20:]))
    print(f"a call: {first:.2f} ms at first, {last:.2f} ms after {options.calls} calls; {size / 1e6:.1f} MB recorded")


if __name__ == "__main__":
    main()
