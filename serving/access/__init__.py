"""Who gets in: keys, tokens, limits."""
