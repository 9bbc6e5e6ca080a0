"""How the bundled model and session were made: the generator of sessions and the trainer."""
