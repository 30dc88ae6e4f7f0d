"""Stages 01 to 03: what is stored once and read by every network."""
