"""JSON objects in the folder of an output."""

import json
from typing import Any

from batch_ser.errors import MismatchError
from batch_ser.storage import Folder


def write_json(
    folder: Folder, name: str, content: dict[str, Any], scratch: str | None = None
) -> None:
    """Write or replace a JSON file in one go, by way of the folder `scratch`."""
    folder.write(name, as_json(content), scratch)


def as_json(content: dict[str, Any]) -> bytes:
    """The bytes of a JSON file."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")


def read_json(folder: Folder, name: str) -> dict[str, Any] | None:
    """A JSON object, or None if there is no such file.

    Raises:
        MismatchError: the file is no JSON object.
    """
    try:
        content = json.loads(folder.read(name))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        place = folder.place(name)
        raise MismatchError(f"{place} is damaged ({error}); --restart begins again") from error
    if not isinstance(content, dict):
        raise MismatchError(
            f"{folder.place(name)} is not a record of batch-ser; --restart begins again"
        )
    return content
