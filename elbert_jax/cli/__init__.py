"""Shared by all commands: flags, exit codes, signals."""
