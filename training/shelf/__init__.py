"""Registered models: from a bundle to the alias `champion`, and back."""
