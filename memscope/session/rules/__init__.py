"""The shapes in which memory systems write memories into text, one module each; `registry` lists them."""
