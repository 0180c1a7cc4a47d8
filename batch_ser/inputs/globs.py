"""The recordings among the matches of globs."""

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from batch_ser.inputs.files import InputFile, input_file
from batch_ser.inputs.folders import Folders, Selection, Wanted
from batch_ser.inputs.names import table_name
from batch_ser.inputs.root import Root

ANY_FOLDERS = "**"


def fixed_folder(pattern: str) -> str:
    """The last folder before a glob's first wildcard."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return os.path.join(*parts[:fixed]) if fixed else os.curdir


def matches(pattern: str, name: str, folders: Folders, selection: Selection) -> Iterator[InputFile]:
    """The recordings among the matches of a glob; `name` is that of its `fixed_folder`.

    A pattern with a fixed suffix (`*.dat`) selects every match, whatever the suffix.
    """
    suffix = Path(pattern).suffix
    every_suffix = suffix not in ("", ".*") and not glob.has_magic(suffix)
    top = fixed_folder(pattern)
    if ANY_FOLDERS in Path(pattern).parts:
        wanted = Wanted(lambda path: _path_matches(pattern, top, path), every_suffix)
        yield from folders.folder(top, name, wanted)
        return
    root = Root(selection.root)
    for path in sorted(glob.iglob(pattern)):
        base, below = os.path.basename(path), table_name(os.path.relpath(path, top))
        below = os.path.join(name, below)
        real = os.path.realpath(path)
        if real in selection.never:
            continue
        if os.path.isdir(path):
            yield from folders.folder(path, below)
        elif folders.is_selected(base, below, every_suffix=every_suffix):
            yield input_file(below, os.path.abspath(path), error=root.refusal(real))


def any_match(pattern: str) -> bool:
    """Whether a glob may match anything; of one with `**` only its folder is looked up."""
    if ANY_FOLDERS in Path(pattern).parts:
        return os.path.isdir(fixed_folder(pattern))
    return next(glob.iglob(pattern), None) is not None


def _path_matches(pattern: str, top: str, path: str) -> bool:
    """Whether a path below the fixed folder `top` of a pattern matches it."""
    fixed = len(Path(top).parts) if top != os.curdir else 0
    return parts_match(Path(pattern).parts[fixed:], Path(path).parts)


def parts_match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Match folder by folder; `**` stands for any number of them, as many as it needs."""
    at = here = retry = 0
    after = None  # the last `**`
    while here < len(path):
        part = pattern[at] if at < len(pattern) else None
        if part == ANY_FOLDERS:
            at = after = at + 1
            retry = here
        elif part is not None and fnmatchcase(path[here], part):
            at, here = at + 1, here + 1
        elif after is not None:
            retry += 1
            at, here = after, retry
        else:
            return False
    return all(part == ANY_FOLDERS for part in pattern[at:])
