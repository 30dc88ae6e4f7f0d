"""The page, numbers and cards of a run."""
