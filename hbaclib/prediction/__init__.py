"""From any recording's windows to shares."""
