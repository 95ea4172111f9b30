"""What an experiment tells people."""
