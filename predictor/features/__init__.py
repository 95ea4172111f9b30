"""Region signals in, named numbers out."""
