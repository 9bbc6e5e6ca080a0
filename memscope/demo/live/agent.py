"""A small agent with memories: `python -m memscope.demo.live.agent`.

It takes its questions from a script, looks up the memories that each one needs, and asks the model at
`OPENAI_BASE_URL`, as any agent does that speaks OpenAI's API. Each memory is a system message of its own, marked with
its key: `memscope record` writes the mark down and removes it before the model's server sees it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from memscope.demo.live.notebook import Note, Notebook
from memscope.demo.live.script import ALWAYS, NOTES, SYSTEM, TURNS
from memscope.server.lifetime import end_with_parent, end_with_stdin

__all__ = ["Agent", "main"]

_RETRIEVED = 3
_MOST_TURNS = 16
_LONGEST_TURN = 12  # messages: a model that only calls tools is stopped
_TOOL_RESULT = "exit code 0"
_TIMEOUT_SECONDS = 120.0


class Agent:
    """An agent that answers from its notebook."""

    def __init__(self, client: httpx.Client, model: str, say: Callable[[str, str], None]) -> None:
        """Create an agent that has not been spoken to yet.

        Args:
            client: A client of the model's server; its base URL ends in `/v1`.
            model: The name of the model.
            say: Called with the speaker and the text of everything that is said.
        """
        self.notebook = Notebook(NOTES)
        self._client = client
        self._model = model
        self._say = say
        self._history: list[list[dict[str, Any]]] = []

    def take(self, turn: str | Note) -> None:
        """Answer what the user says, or write a note down.

        Raises:
            httpx.HTTPError: The model's server does not answer, or answers with an error.
        """
        if isinstance(turn, Note):
            self.notebook.write(turn)
        else:
            self.answer(turn)

    def answer(self, question: str) -> None:
        """Answer one question: retrieve memories, ask the model, and run the tools that it calls.

        Raises:
            httpx.HTTPError: The model's server does not answer, or answers with an error.
        """
        self._say("user", question)
        turn: list[dict[str, Any]] = [{"role": "user", "content": question}]
        # The best match stands next to the question.
        retrieved = [_marked(note) for note in reversed(self.notebook.search(question, _RETRIEVED))]
        while len(turn) < _LONGEST_TURN and (calls := self._respond([*self.conversation(), *retrieved, *turn], turn)):
            turn += [self._run_tool(call) for call in calls]
        self._say("agent", str(turn[-1]["content"]))
        if len(self._history) == _MOST_TURNS:
            # Drop many turns at once and seldom, so that prompts keep their beginning from call to call.
            del self._history[: _MOST_TURNS // 2]
        self._history.append(turn)

    def conversation(self) -> list[dict[str, Any]]:
        """Return the messages that every prompt begins with."""
        head = [{"role": "system", "content": SYSTEM}, *map(_marked, ALWAYS)]
        return head + [message for turn in self._history for message in turn]

    def _respond(self, messages: list[dict[str, Any]], turn: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add the model's response to the turn; return the tools that it calls."""
        response = self._client.post("chat/completions", json={"model": self._model, "messages": messages})
        response.raise_for_status()
        turn.append(response.json()["choices"][0]["message"])
        return turn[-1].get("tool_calls") or []

    def _run_tool(self, call: dict[str, Any]) -> dict[str, Any]:
        self._say("tool", f"{call['function']['name']} {call['function']['arguments']}")
        return {"role": "tool", "tool_call_id": call["id"], "content": _TOOL_RESULT}


def _marked(note: Note) -> dict[str, Any]:
    return {"role": "system", "content": note.text, "memory": {"key": note.key}}


def _served_model(client: httpx.Client) -> str:
    response = client.get("models")
    response.raise_for_status()
    return str(response.json()["data"][0]["id"])


def _print(speaker: str, text: str) -> None:
    sys.stdout.write(f"{speaker}: {text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take every turn of the script; return the exit status.

    With `--as-child` the agent also ends with its parent, and at the end of its standard input.
    """
    parser = argparse.ArgumentParser(prog="python -m memscope.demo.live.agent", description="A small agent at work.")
    parser.add_argument("--pace", type=float, default=4.0, metavar="SECONDS", help="pause between turns (default: 4)")
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.as_child:
        end_with_parent(os.getppid())
        end_with_stdin()
    key = os.environ.get("OPENAI_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    base = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            agent = Agent(client, _served_model(client), _print)
            for turn in TURNS:
                agent.take(turn)
                if isinstance(turn, str):
                    time.sleep(options.pace)
        except httpx.HTTPError as error:
            sys.stderr.write(f"agent: {base}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
