"""Predictions for files: read, answered, written, resumed."""
