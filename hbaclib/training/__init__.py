"""Recipes, runtime, cross-validation, prediction."""
