"""From files and named tasks to padded batches."""
