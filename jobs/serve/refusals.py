"""Why a request gets no prediction: the status of HTTP, a word, and a sentence; never a trace."""

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
    if reason is Reason.INTERNAL_ERROR:  # its message names lines of the program
        message = "an error of the program, which its log has"
    status = STATUS.get(reason, UNPROCESSABLE)
    return Refused(status, reason.value, message, filename=filename)


def of_status(status: int) -> Refused:
    """The refusal that a status of HTTP alone states."""
    phrase = http.HTTPStatus(status).phrase
    return Refused(status, phrase.lower().replace(" ", "_"), phrase)
