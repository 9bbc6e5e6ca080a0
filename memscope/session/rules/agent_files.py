"""Memory files that coding agents put into a message: CLAUDE.md, AGENTS.md, MEMORY.md and the like.

Claude Code quotes them in `<system-reminder>` elements or, with a description in parentheses, in the system prompt;
Codex after `# AGENTS.md instructions for …`. A section that has only a list is one memory per item, any other section
is one memory. Keys are the file with its folder, then the heading: `project/CLAUDE.md#Testing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import elements
from memscope.session.rules.headings import Level, heading_of
from memscope.session.rules.lists import FENCE, lines, lists_in

__all__ = ["RULE"]

_NAMES = re.compile(r"(?:CLAUDE(?:\.local)?|AGENTS(?:\.override)?|MEMORY|GEMINI)\.md\Z", re.IGNORECASE)
_FOLDERS = ("/.claude/rules/", "/memory/", "/memories/")
_CONTENTS = "Contents of "
_CODEX = re.compile(r"^# AGENTS\.md instructions for (?P<folder>\S[^\n]*)\n+(?=<INSTRUCTIONS>)", re.MULTILINE)
_HOST = re.compile(
    r"# (?:[a-z]+[A-Z]\w*|important-instruction-reminders)\Z|[ \t]*IMPORTANT: this context may or may not "
)
"""Lines that the agent's host writes between and after the files."""

_LONGEST_HEADING = 60


class _Section(NamedTuple):
    """A part of a file under one heading: where it begins, where the text under the heading begins, where it ends."""

    title: str
    start: int
    body: int
    end: int


def _find(text: str) -> Iterator[Found]:
    at = 0
    for reminder in elements(text, "system-reminder"):
        yield from _quoted(text, at, reminder.start, described=True)
        yield from _quoted(text, reminder.body, reminder.body_end)
        at = reminder.end
    yield from _quoted(text, at, len(text), described=True)
    yield from _codex(text)


def _quoted(text: str, start: int, end: int, *, described: bool = False) -> Iterator[Found]:
    """Yield the memories of the files quoted between two positions, or only of those with a description."""
    if text.find(_CONTENTS, start, end) < 0:
        return
    for title, begin, stop in _files(text, start, end):
        path, is_described, _ = title.partition(" (")
        is_memory_file = _NAMES.search(path) or any(folder in path for folder in _FOLDERS)
        if is_memory_file and (is_described or not described):
            yield from _memories(text, _short(path), begin, stop)


def _codex(text: str) -> Iterator[Found]:
    at = 0 if "# AGENTS.md instructions for " in text else len(text)  # much faster than the pattern
    while match := _CODEX.search(text, at):
        instructions = next(elements(text, "INSTRUCTIONS", match.end()), None)
        if instructions is None:
            return
        start = instructions.body + (text[instructions.body : instructions.body + 1] == "\n")
        yield from _memories(text, _short(f"{match['folder'].strip()}/AGENTS.md"), start, instructions.body_end)
        at = instructions.end


def _files(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield each quoted file: its path and description, and where its text begins and ends."""
    title, begin = "", start
    for line in lines(text, start, end):
        is_contents = line.text.startswith(_CONTENTS) and line.text.rstrip().endswith(":")
        if is_contents or _HOST.match(line.text):
            if title:
                yield title, begin, line.start
            title = line.text[len(_CONTENTS) :].rstrip().removesuffix(":") if is_contents else ""
            begin = line.end
    if title:
        yield title, begin, end


def _short(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def _memories(text: str, name: str, start: int, end: int) -> Iterator[Found]:
    seen: dict[str, int] = {}
    for section in _sections(text, start, end):
        items = list(lists_in(text, section.body, section.end))
        key = f"{name}#{section.title}" if section.title else name
        if items and _is_only_a_list(text, section, items):
            yield from (item._replace(under=f"{key}/") for item in items)
        elif text[section.body : section.end].strip():
            seen[key] = seen.get(key, 0) + 1
            key = key if seen[key] == 1 else f"{key}-{seen[key]}"
            yield Found(section.start, section.end, key, text[section.start : section.end].strip())


def _sections(text: str, start: int, end: int) -> Iterator[_Section]:
    title, begin, body = "", start, start
    in_fence = False
    for line in lines(text, start, end):
        in_fence ^= FENCE.match(line.text) is not None
        heading = None if in_fence else heading_of(line)
        if heading and heading.level < Level.BOLD:
            if begin < line.start:
                yield _Section(title, begin, body, line.start)
            title, begin, body = heading.title[:_LONGEST_HEADING], line.start, line.end
    if begin < end:
        yield _Section(title, begin, body, end)


def _is_only_a_list(text: str, section: _Section, items: list[Found]) -> bool:
    """Return whether a section has nothing but items, blank lines and lines that introduce a list."""
    at = section.body
    for item in items:
        if not _introduces(text, at, item.start):
            return False
        at = item.end
    return _introduces(text, at, section.end)


def _introduces(text: str, start: int, end: int) -> bool:
    return all(line.is_blank or line.text.rstrip().endswith(":") for line in lines(text, start, end))


RULE = MemoryRule("agent-files", _find)
