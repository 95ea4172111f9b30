"""All defensible variants of one experiment, on the same folds."""
