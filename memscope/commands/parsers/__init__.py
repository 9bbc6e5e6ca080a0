"""The arguments of each command, one module each; importing one imports nothing heavy."""
