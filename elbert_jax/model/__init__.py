"""ALBERT in Flax NNX: arrays in, arrays out."""
