"""What you launch: the command line, the driver, shard work and its execution on Ray.

from jobs import RunConfig, run
report = run(RunConfig(inputs=("calls",), out="results.parquet"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.driver import run
    from jobs.report import RunReport
    from jobs.run_config import RunConfig

__all__ = ["RunConfig", "RunReport", "run"]


def __getattr__(name: str) -> Any:
    """Load the driver when it is first used: `batch-ser --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'jobs' has no attribute {name!r}")
    from jobs import driver

    return getattr(driver, name)
