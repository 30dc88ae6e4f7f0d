"""Recipes, the training loop, cross-validation, trained folders."""
