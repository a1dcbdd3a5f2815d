"""What commands share: flags, exit codes, signals."""
