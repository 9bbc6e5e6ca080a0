"""One run: a session, a scorer and a store, emitting events. The screen and the commands are its two frontends."""
