"""Audio in, tables out: files, samples, segments, features and tables, without networks or Ray."""

__version__ = "0.1.0"
