"""Scores, exit curves, calibration and timing of a model on labelled texts."""
