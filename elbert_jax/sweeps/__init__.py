"""Every exit rule on one pass: what `sweep` does."""
