"""The command `hbac`."""
