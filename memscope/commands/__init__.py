"""The commands, one module each; every command takes parsed arguments and returns an exit status."""
