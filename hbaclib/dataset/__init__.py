"""Competition files: find, read, validate, sample, fold, store."""
