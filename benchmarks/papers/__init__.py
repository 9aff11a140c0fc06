"""Finished calibrations: what the numbers in the documentation rest on. They run for minutes to hours."""
