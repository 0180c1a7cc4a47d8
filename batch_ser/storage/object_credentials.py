"""A bucket of an object store, opened with the credentials that the machine or its user has."""

import os
import re
from pathlib import Path
from typing import Any

from obstore import exceptions
from obstore.store import S3Store, from_url

from batch_ser.errors import UsageError
from batch_ser.storage.aws_credentials import credentials, is_set

KINDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az"}
PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}  # of the variables of each kind
FLAGS = ("allow_http", "allow_invalid_certificates")
TEXTS = ("proxy_url", "proxy_ca_certificate", "proxy_excludes", "root_certificate", "user_agent")
NO_ACCOUNT = "found no storage account; expected AZURE_STORAGE_ACCOUNT_NAME in the environment"
NO_FILE = re.compile(r"Unable to open [^\n]*")  # with the path of a file of credentials


def client_options(scheme: str, **defaults: Any) -> dict[str, Any]:
    """How a store is connected to: defaults, and AWS_ALLOW_HTTP, GOOGLE_PROXY_URL and the like,
    which obstore leaves out where options are given.

    Raises:
        UsageError: the file of certificates that AWS_CA_BUNDLE names cannot be read.
    """
    kind = KINDS[scheme]
    given = {name: f"{PREFIXES[kind]}_{name.upper()}" for name in (*FLAGS, *TEXTS)}
    flags = {name: is_set(given[name]) for name in FLAGS}
    texts = {name: text for name in TEXTS if (text := os.environ.get(given[name]))}
    bundle = os.environ.get("AWS_CA_BUNDLE")  # SSL_CERT_FILE is read by obstore, for all stores
    if kind == "s3" and bundle and "root_certificate" not in texts:
        texts["root_certificate"] = _certificates(bundle)
    return defaults | flags | texts


def _certificates(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"AWS_CA_BUNDLE: found {path}, which cannot be read; expected a file of certificates "
            "(PEM)"
        ) from error


def open_bucket(scheme: str, name: str, **options: Any) -> Any:
    """The store of a bucket or container by its scheme, with options of obstore.

    Raises:
        UsageError: the environment's settings or the AWS profile cannot be used, or there are no
            credentials.
    """
    kind = KINDS[scheme]
    provider = credentials() if kind == "s3" else None
    if provider:
        options["credential_provider"] = provider
    try:
        return S3Store(name, **options) if kind == "s3" else from_url(f"{kind}://{name}", **options)
    except (exceptions.BaseError, ValueError) as error:
        text = str(error)
        missing = NO_FILE.search(text)
        why = missing[0] if missing else f"found settings ({PREFIXES[kind]}_...) that are not valid"
        if "MissingAccount" in text:
            why = NO_ACCOUNT
        raise UsageError(f"{scheme}://{name}: {why}") from None  # the text may hold a secret
