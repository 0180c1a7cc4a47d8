"""A bucket of an object store, opened with the credentials that the machine or its user has."""

import os
from pathlib import Path
from typing import Any

from obstore.store import S3Store, from_url

from batch_ser.errors import UsageError

KINDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az"}
OTHER_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SKIP_SIGNATURE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


FLAGS = ("allow_http", "allow_invalid_certificates")
TEXTS = ("proxy_url", "proxy_ca_certificate", "proxy_excludes", "root_certificate", "user_agent")


def client_options(**defaults: Any) -> dict[str, Any]:
    """How a store is connected to: defaults, and AWS_ALLOW_HTTP, AWS_PROXY_URL and the like, which
    obstore leaves out where options are given.
    """
    given = {name: os.environ.get(f"AWS_{name.upper()}", "") for name in (*FLAGS, *TEXTS)}
    flags = {name: given[name].lower() in ("1", "true", "yes", "on") for name in FLAGS}
    return defaults | flags | {name: given[name] for name in TEXTS if given[name]}


def open_bucket(scheme: str, name: str, **options: Any) -> Any:
    """The store of a bucket or container by its scheme, with options of obstore.

    Raises:
        UsageError: an AWS profile cannot be used.
    """
    if KINDS[scheme] != "s3":
        return from_url(f"{KINDS[scheme]}://{name}", **options)
    if _uses_profile():
        options["credential_provider"] = _profile()
    return S3Store(name, **options)


def _uses_profile() -> bool:
    """Whether AWS credentials are those of a profile: named, or in the files of one."""
    if os.environ.get("AWS_PROFILE"):
        return True
    if any(os.environ.get(each) for each in OTHER_CREDENTIALS):
        return False
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return Path(given).expanduser().is_file()


def _profile() -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise UsageError(
            "AWS: found a profile (AWS_PROFILE or a credentials file), which boto3 reads; expected "
            "it to be installed: pip install 'batch-ser[aws]', or give AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment"
        ) from error
    try:
        return Boto3CredentialProvider()
    except Exception as error:  # botocore has an error of its own for each mistake
        raise UsageError(f"AWS: the profile cannot be used: {error}") from error
