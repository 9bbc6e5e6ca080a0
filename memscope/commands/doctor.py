"""`memscope doctor`: describe the scorer, its capabilities, and what was recognised in a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from memscope.commands.advising import advice_for
from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import load_configured_session
from memscope.config import Config
from memscope.errors import MemscopeError
from memscope.run.source import ScorerSource
from memscope.scoring.events import rendering_words
from memscope.scoring.layout import layout_of
from memscope.session.diagnosis import diagnose
from memscope.session.load import problems
from memscope.session.nodes import Session
from memscope.terminal.printing import print_json, print_text
from memscope.terminal.safe import indentation, one_line, shorten

__all__ = ["doctor"]

_ONE_PER_LINE = ("matches", "notes", "advice", "rendering")
_MATCH = "{rule} in node {node}: {key}: {text}"
_SHOWN = 100
"""How much of a memory the table shows, in terminal cells."""


def doctor(path: str | None, config: Config, output: str) -> int:
    """Print the report; return 1 if the session or the scorer is unusable."""
    findings: dict[str, Any] = {}
    session: Session | None = None
    if path is not None or config.source_format is not None:
        session, findings["session"] = _session(path, config)
    findings["scorer"] = run_to_end(_scorer(config, session))
    if output == "json":
        print_json(findings)
    else:
        for match in findings.get("session", {}).get("matches", ()):
            match["text"] = shorten(match["text"], _SHOWN)
        print_text("".join(line + "\n" for name, facts in findings.items() for line in _lines(name, facts)))
    return 1 if any("error" in facts for facts in findings.values()) else 0


def _session(path: str | None, config: Config) -> tuple[Session | None, dict[str, Any]]:
    try:
        session = load_configured_session(path, config)
    except MemscopeError as error:
        return None, {"error": str(error)}
    facts = {**diagnose(session), "responses": len(layout_of(session).columns)}
    if trouble := problems(session):
        facts["error"] = "; ".join(trouble)
        facts["advice"] = list(advice_for(session, config))
    return session, facts


async def _scorer(config: Config, session: Session | None) -> dict[str, Any]:
    source = ScorerSource(config)
    facts: dict[str, Any] = {"asked": source.target}
    try:
        scorer = await source.open()
        facts |= msgspec.to_builtins(scorer.info) | {"canary": ()}
        if session is not None:
            await source.load_tokenizer()
            prompt = await source.render(session)
            facts |= {"template": prompt.template, "tokens": prompt.tokens, "rendering": list(prompt.notes)}
    except MemscopeError as error:
        facts["error"] = str(error)
        facts["last_lines"] = list(source.last_lines())
    finally:
        await source.close()
    return {name: value for name, value in facts.items() if value not in (None, "", [], ())}


def _lines(name: str, facts: dict[str, Any]) -> Iterator[str]:
    yield name
    for key, value in facts.items():
        if key == "template":
            yield from _item("rendered", rendering_words(value), indent=2)
        else:
            yield from _item(key, value, indent=2)


def _item(key: str, value: Any, indent: int) -> Iterator[str]:
    lead = " " * indent
    if isinstance(value, dict):
        yield f"{lead}{one_line(key)}"
        for inner, item in value.items():
            yield from _item(str(inner), item, indent + 2)
    elif isinstance(value, list | tuple) and key in _ONE_PER_LINE:
        yield f"{lead}{key}{'' if value else ': none'}"
        for item in value:
            line = _MATCH.format_map(item) if isinstance(item, dict) else str(item)
            yield f"{lead}  {indentation(line)}{one_line(line)}"
    elif isinstance(value, list | tuple):
        yield f"{lead}{one_line(key)}: {one_line(', '.join(map(str, value)))}"
    else:
        yield f"{lead}{one_line(key)}: {one_line(str(value))}"
