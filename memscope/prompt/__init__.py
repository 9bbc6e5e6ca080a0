"""From a session to token ids, spans and leave-outs."""
