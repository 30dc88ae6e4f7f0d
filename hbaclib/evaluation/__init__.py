"""Metric, tiers, ensembles, calibration, plots, report."""
