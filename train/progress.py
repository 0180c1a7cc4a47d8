"""How often a progress bar is drawn: often on a terminal, a line a minute elsewhere."""

import sys


def every_s() -> float:
    """Seconds between two pictures of a progress bar on standard error."""
    return 0.5 if sys.stderr.isatty() else 60.0
