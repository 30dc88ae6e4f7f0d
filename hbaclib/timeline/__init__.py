"""A recording of hours as a line of ten-second bins."""
