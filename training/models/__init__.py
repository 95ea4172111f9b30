"""Candidate models that tune themselves inside a fold."""
