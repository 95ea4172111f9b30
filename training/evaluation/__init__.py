"""How well a model predicts people it has not seen, and how sure that is."""
