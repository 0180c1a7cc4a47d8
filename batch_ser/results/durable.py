"""Files that survive a loss of power: written whole under another name, synced, then renamed."""

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError


def write_bytes(path: Path, data: bytes, scratch: Path | None = None) -> None:
    """Write or replace a file in one go, by way of the folder `scratch` (default: its own)."""
    partial = (scratch or path.parent) / f"{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, content: dict[str, Any], scratch: Path | None = None) -> None:
    """Write or replace a JSON file in one go."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"), scratch)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is no such file.

    Raises:
        MismatchError: the file is no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise MismatchError(f"{path} is damaged ({error}); --restart begins again") from error
    if not isinstance(content, dict):
        raise MismatchError(f"{path} is not a record of batch-ser; --restart begins again")
    return content


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without it
            raise
    finally:
        os.close(descriptor)


def describe_files(paths: Iterable[Path], below: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, by their names below a folder."""
    described = {}
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described[str(path.relative_to(below))] = {
            "size_bytes": path.stat().st_size,
            "sha256": digest,
        }
    return described
