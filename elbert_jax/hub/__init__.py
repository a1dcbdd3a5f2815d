"""Model directories: read, written, downloaded, converted, described."""
