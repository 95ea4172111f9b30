"""Numbers in, answer out."""
