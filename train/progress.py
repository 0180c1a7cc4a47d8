"""The interval between updates of a progress bar: short on a terminal, a minute elsewhere."""

import sys


def every_s() -> float:
    """Seconds between two updates of a progress bar on standard error."""
    return 0.5 if sys.stderr.isatty() else 60.0
