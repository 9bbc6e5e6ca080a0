"""Chat templates: their adaptation to a session, and where in the rendering each text stands."""
