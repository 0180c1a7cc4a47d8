"""A bucket of an object store, opened with the credentials that the machine or its user has."""

import os
from typing import Any

from obstore.store import S3Store, from_url

from batch_ser.storage.aws_credentials import profile

KINDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az"}
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
        UsageError: an AWS profile cannot be used, or there are no credentials.
    """
    if KINDS[scheme] != "s3":
        return from_url(f"{KINDS[scheme]}://{name}", **options)
    if found := profile():
        options["credential_provider"] = found
    return S3Store(name, **options)
