"""Read one recording's files."""
