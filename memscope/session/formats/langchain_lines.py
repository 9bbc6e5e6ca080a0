"""LangChain messages as append-only JSON Lines: one message per line."""

from __future__ import annotations

from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.langchain import LangChainMessages, is_langchain_message
from memscope.session.formats.line_messages import lines_format

__all__ = ["FORMAT"]


def _recognises(head: FileHead) -> bool:
    return is_langchain_message(head.first)


def _converter(name: str, new_detector: NewDetector) -> LangChainMessages:
    return LangChainMessages(name, FORMAT.name, new_detector)


FORMAT = lines_format(
    name="langchain-lines",
    expected="one LangChain message per line",
    recognises=_recognises,
    converter=_converter,
)
