"""Each claim of the paper as one experiment: a measured value with its interval, and a verdict in words."""
