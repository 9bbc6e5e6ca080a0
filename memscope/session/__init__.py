"""Sessions, their nodes, and the file formats they are read from."""
