"""Record what an agent really sends: the proxy of `memscope record`, and `memscope.Recorder` for Python."""
