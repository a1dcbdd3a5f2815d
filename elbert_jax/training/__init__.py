"""The train loop, its objectives and methods."""
