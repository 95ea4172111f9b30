"""One look at other people with a locked model."""
