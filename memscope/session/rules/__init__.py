"""Rules that recognise the memory formats of common memory systems, one module each; `registry` lists them."""
