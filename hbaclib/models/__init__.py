"""Keras networks behind one registry."""
