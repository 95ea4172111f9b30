"""The people: who they are, what became of them, and where their measurements lie."""
