"""One module a command of `batch-ser`; `jobs/cli.py` puts them together."""
