"""Speed beside what users would run instead: what `benchmark` does."""
