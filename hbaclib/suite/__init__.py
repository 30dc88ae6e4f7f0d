"""The suite of notebooks: its table, its runner, what they read and need."""
