"""The folder of a sample: whose it is, what is in it, and that no answers in it are lost."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch_ser import __version__
from batch_ser.addresses import scheme_of
from batch_ser.errors import MismatchError, UsageError
from batch_ser.results import as_json
from batch_ser.storage import LocalFolder, describe
from jobs.sample.clips import CLIPS

MARKER = "sample.json"  # how the sample was made, and the digests of what annotators may change
CLIP = re.compile(r"[A-Za-z0-9_-]+-[0-9a-f]{16}-(mix|ch\d+)-\d+\.\d{3}s\.(wav|txt)")
TABLES = "tables"


class Destination:
    """A folder that is empty, missing, or a sample of this program that nobody changed."""

    def __init__(self, dest: str, names: Sequence[str]) -> None:
        """`names` are those of all files that a sample can have, other than clips.

        Raises:
            UsageError: it is no folder of this machine.
            MismatchError: other files are in it, or answers.
        """
        if scheme_of(dest):
            raise UsageError("--dest: found an address, expected a folder of this machine")
        self.path = Path(dest)
        self._names = {*names, MARKER}
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--dest {dest}: found a file, expected a folder")
        files = list(self._files())
        if files:
            self._check_ours(files)

    def _files(self) -> Iterator[str]:
        """What is in the folder; folders that a sample does not have count as files."""
        folders = {name.rpartition("/")[0] for name in self._names} | {CLIPS}
        for path in sorted(self.path.iterdir()) if self.path.exists() else ():
            if path.name in folders and path.is_dir() and not path.is_symlink():
                yield from (f"{path.name}/{each.name}" for each in sorted(path.iterdir()))
            else:
                yield path.name

    def _check_ours(self, files: Sequence[str]) -> None:
        content = self._marker()
        others = [name for name in files if not self._is_known(name)]
        if content is None or others:
            found = others[0] if others else files[0]
            raise MismatchError(
                f"--dest {self.path}: found {found!a}, which is not of a sample of batch-ser; "
                "expected an empty folder: choose another name or move it away"
            )
        if content.get("complete"):
            self._check_nothing_added(files, content[TABLES])
        for name, digest in content[TABLES].items():
            path = self.path / name
            if name in files and describe(path)["sha256"] != digest:
                raise MismatchError(
                    f"--dest {self.path}: {name} was changed since it was written, and may hold "
                    "answers; choose another folder or move it away"
                )

    def _check_nothing_added(self, files: Sequence[str], tables: Collection[str]) -> None:
        """Check for files that a sample of another format has: here annotators made them."""
        for name in files:
            if name not in (*tables, MARKER) and not name.endswith(".wav"):
                raise MismatchError(
                    f"--dest {self.path}: {name} was added since it was written, and may hold "
                    "answers; choose another folder or move it away"
                )

    def _is_known(self, name: str) -> bool:
        folder, _, last = name.rpartition("/")
        return name in self._names or (folder == CLIPS and bool(CLIP.fullmatch(last)))

    def _marker(self) -> dict[str, Any] | None:
        """What the sample in the folder states; None if there is none."""
        try:
            content = json.loads((self.path / MARKER).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        is_ours = isinstance(content, dict) and isinstance(content.get(TABLES), dict)
        return content if is_ours and "batch-ser" in str(content.get("program")) else None

    def begin(self, made_of: Mapping[str, Any]) -> None:
        """Empty the folder, and mark it as that of a sample which is not complete."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in self._files():
            if name != MARKER:
                (self.path / name).unlink()
        self._write(made_of, complete=False, tables={})

    def finish(self, made_of: Mapping[str, Any], names: Sequence[str]) -> None:
        """Mark the sample as complete; `names` are its files that annotators may change."""
        tables = {name: describe(self.path / name)["sha256"] for name in names}
        self._write(made_of, complete=True, tables=tables)

    def _write(self, made_of: Mapping[str, Any], **state: Any) -> None:
        content = {"program": f"batch-ser {__version__}"} | dict(made_of) | state
        LocalFolder(self.path).write(MARKER, as_json(content))
