"""Why a request gets no prediction: the status of HTTP, a word, and a sentence; never a trace."""

import errno
import http
import json
from collections.abc import Mapping
from typing import Any

from batch_ser.errors import Reason

UNPROCESSABLE = 422
STATUS = {
    Reason.UNSUPPORTED: 415,
    Reason.TOO_LONG: 413,
    Reason.INTERNAL_ERROR: 500,
}


class Refused(Exception):
    """A request that gets no prediction."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        filename: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message
        self.headers = dict(headers or {})
        self.filename = filename

    @property
    def body(self) -> dict[str, Any]:
        """The answer, in the form that `batch-ser predict` prints of a file that fails."""
        named = {"filename": self.filename} if self.filename is not None else {}
        return named | {"error": {"reason": self.reason, "message": self.message}}

    def as_bytes(self) -> bytes:
        return json.dumps(self.body).encode()


def of_file(error: Mapping[str, str], filename: str, max_minutes: float) -> Refused:
    """The refusal of a recording that cannot be used, by the reason and message of its row."""
    reason, message = Reason(error["reason"]), error["message"]
    if reason is Reason.TOO_LONG:
        message = f"the recording is longer than {max_minutes:g} minutes (--max-minutes)"
    if reason is Reason.BAD_CHANNELS:
        message = message.removeprefix("--")  # clients know a field of requests, and no option
    if reason is Reason.INTERNAL_ERROR:  # its message names lines of the program
        message = "an error of the program, which its log has"
    status = STATUS.get(reason, UNPROCESSABLE)
    return Refused(status, reason.value, message, filename=filename)


CLOSE = {"Connection": "close"}  # the rest of an upload is not read
STOPPING = Refused(503, "stopping", "the server ends", CLOSE)
RETRY_AFTER_S = 2


def too_many(max_requests: int) -> Refused:
    """The refusal of an upload while there are as many as may be."""
    message = f"{max_requests} at once are accepted (--max-requests)"
    return Refused(429, "too_many_requests", message, CLOSE | {"Retry-After": str(RETRY_AFTER_S)})


def too_slow(timeout_s: float) -> Refused:
    """The refusal of an upload that takes too long to arrive."""
    message = f"the upload did not arrive within {timeout_s:g} s (--timeout-s)"
    return Refused(408, "too_slow", message, CLOSE)


def too_large(max_bytes: int) -> Refused:
    """The refusal of an upload of too many bytes."""
    message = f"the upload is larger than {max_bytes / 1e6:g} MB (--max-mb)"
    return Refused(413, "too_large", message, CLOSE)


def of_full_disk(error: Exception) -> Refused | None:
    """The refusal of an upload that could not be written; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    message = "the server has no room for the upload; make some where its TMPDIR is"
    return Refused(507, "no_space", message, CLOSE)


def method_not_allowed(method: str) -> Refused:
    """The refusal of another method than the one of a route."""
    allowed = "GET, HEAD" if method == "GET" else method
    return Refused(405, "method_not_allowed", f"expected {allowed}", {"Allow": allowed})


def of_status(status: int) -> Refused:
    """The refusal that a status of HTTP alone states."""
    phrase = http.HTTPStatus(status).phrase
    return Refused(status, phrase.lower().replace(" ", "_"), phrase)
