"""The uploads of one server, from their first byte to the prediction: how many at once."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request

from batch_ser.audio import normal_choice
from batch_ser.errors import Reason, UsageError
from jobs.serve.children import Children
from jobs.serve.metrics import Metrics
from jobs.serve.preview import Preview
from jobs.serve.refusals import Refused, of_file, of_full_disk, too_many
from jobs.serve.serve_config import ServeConfig
from jobs.serve.uploads import received


class Scoring:
    """Uploads to predictions, within the bounds of a server."""

    def __init__(
        self, config: ServeConfig, children: Children, metrics: Metrics, folder: Path
    ) -> None:
        self._config, self._children, self._metrics = config, children, metrics
        self._folder = folder
        self._at_once = 0
        self._threads = ThreadPoolExecutor(config.processes, "request")

    def close(self) -> None:
        """Begin no other prediction."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def of_request(self, request: Request, channels: str) -> dict[str, Any]:
        """The prediction for the upload of a request, with its segments.

        Raises:
            Refused: too many at once, a wrong value of `channels`, no upload, or one that is out of
                its bounds or cannot be used.
        """
        async with self._counted():
            config = self._config
            choice = _normal(channels)
            async with received(
                request, self._folder, config.max_bytes, config.timeout_s
            ) as upload:
                self._metrics.bytes.inc(upload.path.stat().st_size)
                return await self._prediction(upload.path, upload.filename, choice)

    async def of_file(
        self, path: Path, filename: str, channels: str
    ) -> tuple[dict[str, Any], Preview]:
        """The prediction for a file on this machine, as for an upload, and its preview.

        Raises:
            Refused: too many at once, or one that cannot be used.
        """
        async with self._counted():
            found = await self._prediction(path, filename, channels, preview=True)
            return found, found.pop("preview")

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        """One of the requests at once, with its outcome.

        Raises:
            Refused: there are too many.
        """
        started = time.perf_counter()
        self._at_once += 1
        try:
            with self._metrics.in_progress.track_inprogress():
                if self._at_once > self._config.max_requests:
                    raise too_many(self._config.max_requests)
                yield
        except Exception as error:
            found = of_full_disk(error) or error
            reason = found.reason if isinstance(found, Refused) else str(Reason.INTERNAL_ERROR)
            self._metrics.requests.labels(reason).inc()
            if found is error:
                raise
            raise found from error
        finally:
            self._at_once -= 1
            self._metrics.seconds.observe(time.perf_counter() - started)

    async def _prediction(
        self, path: Path, filename: str, channels: str, *, preview: bool = False
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        predict = partial(self._children.predict, path, filename, channels, preview=preview)
        found = await loop.run_in_executor(self._threads, predict)
        if "error" in found:
            if found["error"]["reason"] == Reason.INTERNAL_ERROR:
                print(f"batch-ser: {filename}: {found['error']['message']}", file=sys.stderr)
            raise of_file(found["error"], filename, self._config.max_minutes)
        self._metrics.requests.labels("ok" if found["emotion"] else "empty").inc()
        self._metrics.segments.inc(len(found["segments"]))
        return found


def _normal(channels: str) -> str:
    try:
        return normal_choice(channels)
    except UsageError as error:
        raise Refused(422, "bad_request", f"query.{str(error).removeprefix('--')}") from error
