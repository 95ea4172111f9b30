"""The synthetic randomised trial, whose truth is known."""
