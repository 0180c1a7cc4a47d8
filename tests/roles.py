"""A metadata service that reports the role of a machine."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from faulty_store import FaultyStore, content

KEY = "key-of-the-role"
SECRET_OF_ROLE = "secret-of-the-role"
TOKEN, ROLE, NAME = "/latest/api/token", "/iam/security-credentials/", "worker"


def use_role(
    metadata: FaultyStore, monkeypatch: pytest.MonkeyPatch, lasts_s: float = 3_600, key: str = KEY
) -> None:
    """Let a server report a role, unless faults were added to it before, and let it be asked."""
    found = {
        "AccessKeyId": key,
        "SecretAccessKey": SECRET_OF_ROLE,
        "Token": "token-of-the-role",
        "Expiration": (datetime.now(UTC) + timedelta(seconds=lasts_s)).isoformat(),
    }
    metadata.add(TOKEN, content(b"token"), method="PUT")
    metadata.add(ROLE + NAME, content(json.dumps(found).encode()))
    metadata.add(ROLE, content(NAME.encode()))
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata.address)
