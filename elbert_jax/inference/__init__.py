"""The slot engine, and the classifier on top of it."""
