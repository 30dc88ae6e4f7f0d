"""The competition's files: tables, samples, folds, and a synthetic set of them."""
