"""The generator of sessions and the trainer that produced the bundled model and session."""
