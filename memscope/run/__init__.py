"""One run: a session, a scorer and a store, with events out. The screen and the commands are its two faces."""
