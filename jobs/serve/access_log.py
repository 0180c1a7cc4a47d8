"""The log of requests, `--access-log`: uvicorn's own, with times, on standard error."""

import copy
import logging
import re
from typing import Any

from uvicorn.config import LOGGING_CONFIG

LINE = '%(asctime)s %(client_addr)s "%(request_line)s" %(status_code)s'
UPLOAD = re.compile(r"(/file(?:=|%3D)).*", re.IGNORECASE)


class WithoutNames(logging.Filter):
    """Leaves out the query of an address, and the path of an upload to the page.

    A client may put a token into a query, where none belongs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record of uvicorn: client, method, address, version of HTTP, status."""
        if isinstance(record.args, tuple):
            client, method, address, *rest = record.args
            path = str(address).partition("?")[0]
            record.args = (client, method, UPLOAD.sub(r"\1...", path), *rest)
        return True


def log_config() -> dict[str, Any]:
    """The configuration of uvicorn's logs, without what it reports of its start."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"without_names": {"()": WithoutNames}}
    config["formatters"]["access"]["fmt"] = LINE
    config["handlers"]["access"] |= {"stream": "ext://sys.stderr", "filters": ["without_names"]}
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    return config
