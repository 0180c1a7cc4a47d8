"""Bounds of the uploads to the page, which Gradio receives: how many at once, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.serve.page_routes import API
from jobs.serve.refusals import too_many, too_slow
from jobs.serve.serve_config import ServeConfig

UPLOAD = f"{API}/upload"


class PageUploads:
    """Counts them; those to `/predict` are counted by themselves."""

    def __init__(self, config: ServeConfig) -> None:
        self._most, self._timeout_s = config.max_requests, config.timeout_s
        self._at_once = 0

    @asynccontextmanager
    async def bounded(self, path: str) -> AsyncIterator[None]:
        """Bound a request, if it is such an upload.

        Raises:
            Refused: there are too many at once, or it did not arrive in time.
        """
        if path != UPLOAD:
            yield
            return
        if self._at_once == self._most:
            raise too_many(self._most)
        self._at_once += 1
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():  # an error of the page
                raise
            raise too_slow(self._timeout_s) from error
        finally:
            self._at_once -= 1
