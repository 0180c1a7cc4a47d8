"""Where AWS credentials come from: the environment, a profile, or the machine's role.

Those of the environment are read by obstore, those of a profile by botocore, which comes with
boto3.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from batch_ser.errors import UsageError
from batch_ser.storage.aws_role import NOWHERE, Role, machine_role
from batch_ser.storage.folder import StorageError

ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SKIP_SIGNATURE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
LIFE = timedelta(minutes=15)  # until credentials are asked for again


class Profile:
    """The credentials of a profile, as obstore asks for them, and the settings beside them."""

    def __init__(self, session: Any, credentials: Any) -> None:
        self._credentials = credentials
        self.config: dict[str, str] = {}  # which obstore reads
        if not first_of(REGIONS) and (region := session.get_config_variable("region")):
            self.config["region"] = region
        endpoint = session.get_scoped_config().get("endpoint_url")
        if not first_of(ENDPOINTS) and endpoint:
            self.config["endpoint"] = endpoint

    def __call__(self) -> dict[str, Any]:
        found = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + LIFE,
        }


def credentials() -> Profile | Role | None:
    """Those of a profile or of the machine's role; None where they are in the environment.

    Raises:
        UsageError: the profile cannot be used, or there are credentials nowhere.
    """
    named = bool(os.environ.get("AWS_PROFILE"))
    if not named and first_of(ENVIRONMENT):
        return None
    if named or _is_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"):
        return _profile()
    if _is_file("AWS_CONFIG_FILE", "~/.aws/config"):  # it may hold a region alone
        try:
            return _profile()
        except UsageError:
            pass
    if is_set("AWS_EC2_METADATA_DISABLED"):
        raise UsageError(NOWHERE.format(""))
    role = machine_role()
    try:
        role()
    except StorageError as error:
        raise UsageError(str(error)) from error
    return role


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
        raise UsageError(NOWHERE.format(""))
    return found


def first_of(names: tuple[str, ...]) -> str:
    """The first of some variables that has a value; empty if none has."""
    return next((found for each in names if (found := os.environ.get(each))), "")


def is_set(name: str) -> bool:
    """Whether a variable switches something on."""
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


def _is_file(variable: str, usual: str) -> bool:
    return os.path.isfile(os.path.expanduser(os.environ.get(variable) or usual))
