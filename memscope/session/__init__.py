"""What the model saw: sessions of nodes, and the files they come from."""
