"""Audio folders of Hugging Face: folders whose metadata files state values of their recordings."""

import os
from collections.abc import Iterator

from batch_ser.errors import UsageError
from batch_ser.inputs.existence import found_at
from batch_ser.inputs.layouts import METADATA, file_column
from batch_ser.inputs.manifest_files import ManifestFiles, Opening, local_copy
from batch_ser.inputs.names import table_name
from batch_ser.inputs.rows import first_names
from batch_ser.storage import is_store


def metadata_of(each: str, opening: Opening) -> Iterator[ManifestFiles]:
    """The metadata files in a folder that is an input, checked; in an object store, of its top.

    One is recognised by its name, and by a column `file_name` or `audio`. Links are not followed.

    Raises:
        UsageError: one has faulty lines.
    """
    name = opening.names.of(each)
    if is_store(each):
        places = [f"{each.rstrip('/')}/{metadata}" for metadata in METADATA]
        for place in found_at(each, lambda: [*filter(opening.remote.find, places)]):
            yield from _if_metadata(place, opening, name)
    elif os.path.isdir(each):
        for path in _metadata_files(each):
            below = os.path.relpath(os.path.dirname(path), each)
            place = name if below == os.curdir else os.path.join(name, table_name(below))
            yield from _if_metadata(path, opening, place)


def _metadata_files(top: str) -> Iterator[str]:
    """The paths of files with names of metadata, by folder, without recursion however deep."""
    folders = [top]
    while folders:
        try:
            found = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
        except OSError:  # it gets its row when the inputs are listed
            continue
        yield from (each.path for each in found if each.name in METADATA and each.is_file())
        below = [
            each.path
            for each in found
            if not each.name.startswith(".") and each.is_dir(follow_symlinks=False)
        ]
        folders += reversed(below)


def _if_metadata(place: str, opening: Opening, below: str) -> Iterator[ManifestFiles]:
    path, _kept_by = local_copy(place)
    try:
        names = first_names(path)
    except UsageError:  # not Hugging Face's: a file that is no recording, like any other
        return
    if file_column(path, names):
        yield ManifestFiles.check(place, opening, below)
