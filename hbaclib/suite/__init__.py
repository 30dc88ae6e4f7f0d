"""The suite of notebooks: its table, its runner, its Kaggle kernels."""
