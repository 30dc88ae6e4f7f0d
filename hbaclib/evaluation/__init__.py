"""The metric, vote tiers, calibration and out-of-fold tables."""
