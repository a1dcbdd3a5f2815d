"""A text's way through the layers: what `explain` does."""
