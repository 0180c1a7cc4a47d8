"""Where AWS credentials come from: the environment, a profile, or the machine's role.

Those of the environment and of the role are read by obstore; those of a profile by botocore, which
comes with boto3.
"""

import os
import socket
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from batch_ser.errors import UsageError

ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SKIP_SIGNATURE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
METADATA = "http://169.254.169.254"  # where a machine of Amazon reports its role
METADATA_S = 2.0  # that it may take to be reached
LIFE = timedelta(minutes=15)  # until credentials are asked for again
NOWHERE = (
    "AWS: found no credentials; expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
    "environment, a profile (AWS_PROFILE or ~/.aws/credentials, with pip install "
    "'batch-ser[aws]'), or a machine with a role; for a public bucket set AWS_SKIP_SIGNATURE=true"
)


class Profile:
    """The credentials of a profile, as obstore asks for them, and the settings beside them."""

    def __init__(self, session: Any, credentials: Any) -> None:
        self._credentials = credentials
        self.config: dict[str, str] = {}  # which obstore reads
        if not _any_of(REGIONS) and (region := session.get_config_variable("region")):
            self.config["region"] = region
        endpoint = session.get_scoped_config().get("endpoint_url")
        if not _any_of(ENDPOINTS) and endpoint:
            self.config["endpoint"] = endpoint

    def __call__(self) -> dict[str, Any]:
        found = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + LIFE,
        }


def profile() -> Profile | None:
    """The profile that is used; None where the environment or the machine has credentials.

    Raises:
        UsageError: the profile cannot be used, or there are credentials nowhere.
    """
    named = bool(os.environ.get("AWS_PROFILE"))
    if not named and _any_of(ENVIRONMENT):
        return None
    if named or _is_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"):
        return _profile()
    if _is_file("AWS_CONFIG_FILE", "~/.aws/config"):  # it may hold a region alone
        try:
            return _profile()
        except UsageError:
            pass
    disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if disabled or not _answers(os.environ.get("AWS_METADATA_ENDPOINT") or METADATA):
        raise UsageError(NOWHERE)
    return None


def _profile() -> Profile:
    try:
        from botocore.session import get_session
    except ImportError as error:
        raise UsageError(
            "AWS: found a profile (AWS_PROFILE or a credentials file), which boto3 reads; expected "
            "it to be installed: pip install 'batch-ser[aws]', or give AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment"
        ) from error
    try:
        session = get_session()
        credentials = session.get_credentials()
        found = credentials and Profile(session, credentials)
    except Exception as error:  # botocore has one of its own for each mistake
        raise UsageError(f"AWS: the profile cannot be used: {error}") from error
    if found is None:
        raise UsageError(NOWHERE)
    return found


@cache
def _answers(address: str) -> bool:
    """Whether something listens there: obstore would repeat a request for minutes."""
    place = urlsplit(address)
    try:
        host = (place.hostname or "", place.port or 80)
        with socket.create_connection(host, timeout=METADATA_S):
            return True
    except (OSError, ValueError):
        return False


def _any_of(names: tuple[str, ...]) -> bool:
    return any(os.environ.get(each) for each in names)


def _is_file(variable: str, usual: str) -> bool:
    return os.path.isfile(os.path.expanduser(os.environ.get(variable) or usual))
