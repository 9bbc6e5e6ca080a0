"""The bundled model, its session, its generator and its trainer."""
