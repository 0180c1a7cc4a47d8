"""Audio in, tables out: files, samples, segments, features and tables, without networks or Ray."""

__version__ = "0.1.0"
SCORES_VERSION = 6  # raised when code changes scores: results of another do not mix
FEATURES_VERSION = 2  # raised when code changes what a network hears of samples: caches go stale
