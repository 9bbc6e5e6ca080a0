"""memscope measures which of an agent's memories each of its responses rests on."""

__version__ = "0.1.0"
