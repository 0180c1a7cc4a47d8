"""Credentials of a machine's role, from the metadata service of AWS, within seconds.

obstore would wait for it as long as for a busy store: minutes for every request.
"""

import http.client
import json
import os
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from batch_ser.storage.folder import StorageError

METADATA = "http://169.254.169.254"
ENDPOINTS = ("AWS_METADATA_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT")
CONNECT_S = 2.0
LOOKUP_S = 5.0  # of all requests of a lookup together
PAUSE_S = 0.3  # before a busy service is asked again
AGAIN_S = 30.0  # after a lookup that failed, until the next one
SPARE = timedelta(minutes=5)  # of credentials, when new ones are asked for
TOKEN = "/latest/api/token"
ROLES = "/latest/meta-data/iam/security-credentials/"
NOWHERE = (
    "AWS: found no credentials{}; expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
    "environment, a profile (AWS_PROFILE or ~/.aws/credentials, with pip install "
    "'batch-ser[aws]'), or a machine with a role; for a public bucket set AWS_SKIP_SIGNATURE=true"
)


class Role:
    """The role's credentials, as obstore asks for them; kept until they are about to expire."""

    def __init__(self, endpoint: str) -> None:
        place = urlsplit(endpoint)
        self._host, self._port = place.hostname or "", place.port or 80
        self._path = place.path.rstrip("/")
        self._found: dict[str, Any] | None = None
        self._problem, self._next_s = "", 0.0
        self._lock = threading.Lock()  # threads that wait for one lookup share what it finds

    def __call__(self) -> dict[str, Any]:
        """Keys, token and when they expire.

        Raises:
            StorageError: there are none; what was asked, what came of it, and what to do.
        """
        with self._lock:
            if not self._lasts(SPARE) and time.monotonic() >= self._next_s:
                try:
                    self._found = self._look_up(time.monotonic() + LOOKUP_S)
                except StorageError as error:
                    self._problem, self._next_s = str(error), time.monotonic() + AGAIN_S
            if self._found is None or not self._lasts(timedelta()):
                raise StorageError(self._problem)
            return self._found

    def _lasts(self, spare: timedelta) -> bool:
        return self._found is not None and self._found["expires_at"] > datetime.now(UTC) + spare

    def _look_up(self, until_s: float) -> dict[str, Any]:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "600"}
        try:
            token = self._ask("PUT", TOKEN, headers, until_s)
        except StorageError as error:  # an old service has no tokens
            if "answered 403" not in str(error) or not os.environ.get("AWS_IMDSV1_FALLBACK"):
                raise
            token = ""
        headers = {"X-aws-ec2-metadata-token": token} if token else {}
        name = self._ask("GET", ROLES, headers, until_s).strip()
        text = self._ask("GET", ROLES + name, headers, until_s)
        try:
            found = json.loads(text)
            return {
                "access_key_id": found["AccessKeyId"],
                "secret_access_key": found["SecretAccessKey"],
                "token": found["Token"],
                "expires_at": datetime.fromisoformat(found["Expiration"]),
            }
        except (ValueError, KeyError, TypeError):
            raise self._error("answered without credentials", "GET", ROLES) from None

    def _ask(self, method: str, path: str, headers: dict[str, str], until_s: float) -> str:
        """What the service answers; a busy one is asked again, as long as there is time."""
        while True:
            try:
                status, text = self._request(method, path, headers, until_s)
            except TimeoutError:
                problem = f"did not answer within {LOOKUP_S:.0f} s"
                raise self._error(problem, method, path) from None
            except (OSError, ValueError, http.client.HTTPException):
                raise self._error("cannot be reached", method, path) from None
            if status == 200:
                return text
            busy = status == 429 or status >= 500
            if not busy or time.monotonic() + PAUSE_S > until_s:
                raise self._error(f"answered {status}", method, path)
            time.sleep(PAUSE_S)

    def _request(
        self, method: str, path: str, headers: dict[str, str], until_s: float
    ) -> tuple[int, str]:
        """One request, past any proxy, with the rest of the time for the answer."""
        connect_s = min(CONNECT_S, max(until_s - time.monotonic(), 0.01))
        connection = http.client.HTTPConnection(self._host, self._port, timeout=connect_s)
        with closing(connection):
            connection.connect()
            connection.sock.settimeout(max(until_s - time.monotonic(), 0.01))
            connection.request(method, self._path + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(100_000).decode()

    def _error(self, problem: str, method: str, path: str) -> StorageError:
        place = f"{self._host}:{self._port}"
        why = f": the metadata service at {place} {problem} ({method} {path})"
        return StorageError(NOWHERE.format(why))


@cache
def _role(endpoint: str) -> Role:
    return Role(endpoint)


def machine_role() -> Role:
    """The role of this machine; every bucket shares its credentials."""
    return _role(next((found for each in ENDPOINTS if (found := os.environ.get(each))), METADATA))
