"""`batch-ser serve`: recordings scored over HTTP, the same numbers as `batch-ser predict`."""

from jobs.serve.access_token import read_token
from jobs.serve.serve_config import ServeConfig, check_extra

__all__ = ["ServeConfig", "check_extra", "read_token", "serve"]


def serve(config: ServeConfig) -> None:
    """Serve until a signal ends it.

    Raises:
        UsageError: the extra is missing, or an option does not fit.
    """
    from jobs.serve.running import run_server  # needs the packages of the extra

    run_server(config)
