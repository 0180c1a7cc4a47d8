"""Whether there is what `--input` names, so that a mistyped one ends a job before it begins."""

import glob
import os
from collections.abc import Callable
from typing import TypeVar

from batch_ser.addresses import public_address, scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.globs import any_match
from batch_ser.inputs.objects import fixed_address
from batch_ser.storage import Remote, StorageError, is_web, split_address

NO_FILE = "there is no such file"
EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
T = TypeVar("T")


def check_exists(each: str, remote: Remote) -> None:
    """Check an input that is no manifest.

    Raises:
        UsageError: there is none, or it cannot be an input.
    """
    if scheme_of(each):
        _check_address(each, remote)
        return
    if each.lower().endswith(EXCEL) and os.path.isfile(each):
        raise UsageError(
            f"--input {each}: found a spreadsheet, expected a manifest; save it as CSV (in "
            "Excel, 'CSV UTF-8') and give that"
        )
    if not os.path.lexists(each) and not (glob.has_magic(each) and any_match(each)):
        what = "nothing matches this pattern" if glob.has_magic(each) else NO_FILE
        raise UsageError(f"--input {each}: {what}; expected a folder, a file, a glob or a manifest")


def check_apart_from_output(each: str, own: tuple[str, ...]) -> None:
    """Refuse an input in the job's own output, whose files are never inputs.

    `own` has the paths without links, or the addresses, of that.

    Raises:
        UsageError: it is the output, or in it.
    """
    place = each.rstrip("/") if scheme_of(each) else os.path.realpath(each)
    if any(place == mine or place.startswith(f"{mine}/") for mine in own):
        raise UsageError(
            f"--input {each} is in the output of this job (--out), whose files are left out; "
            "expected another --out"
        )


def is_there(address: str, remote: Remote) -> bool:
    """Whether an address names an object, or objects below it."""
    if split_address(address)[1] and remote.find(address):
        return True
    return next(iter(remote.list(address)), None) is not None


def _check_address(address: str, remote: Remote) -> None:
    if is_web(address):
        raise UsageError(
            f"--input {public_address(address)}: found a web address; expected a manifest "
            "that lists web files, or an address of an object store (s3://, gs://, az://)"
        )
    split_address(address)
    place = fixed_address(address) if glob.has_magic(address) else address
    if not found_at(address, lambda: is_there(address, remote) or is_there(place, remote)):
        raise UsageError(
            f"--input {address}: there is no such object, and none below it; expected a "
            "folder, an object, a glob or a manifest"
        )


def found_at(address: str, look_up: Callable[[], T], option: str = "--input") -> T:
    """What is found at an address of an option; an error of its store is the user's to solve.

    Raises:
        UsageError: there is nothing, or it cannot be reached.
    """
    try:
        return look_up()
    except StorageError as error:  # a missing bucket is also a missing file
        text = str(error).removeprefix(f"{address}: ")
        raise UsageError(f"{option} {address}: {text}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{option} {address}: {NO_FILE} ({error.strerror})") from error
    except PermissionError as error:
        raise UsageError(
            f"{option} {address}: access denied ({error.strerror}); expected credentials for it in "
            "the environment, in an AWS profile, or of this machine's role"
        ) from error
