"""The log of requests, `--access-log`: uvicorn's own, with times, on standard error."""

import copy
import logging
from typing import Any

from uvicorn.config import LOGGING_CONFIG

LINE = '%(asctime)s %(client_addr)s "%(request_line)s" %(status_code)s'


class WithoutQuery(logging.Filter):
    """Leaves the query of an address out: a client may put a token there, where none belongs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record of uvicorn: client, method, address, version of HTTP, status."""
        if isinstance(record.args, tuple):
            client, method, address, *rest = record.args
            record.args = (client, method, str(address).partition("?")[0], *rest)
        return True


def log_config() -> dict[str, Any]:
    """The configuration of uvicorn's logs, without what it says of its start."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"without_query": {"()": WithoutQuery}}
    config["formatters"]["access"]["fmt"] = LINE
    config["handlers"]["access"] |= {"stream": "ext://sys.stderr", "filters": ["without_query"]}
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    return config
