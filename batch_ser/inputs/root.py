"""The folder that `--root` names: names start there, and no file may be outside, links followed."""

import os

from batch_ser.errors import FileError, Reason
from batch_ser.inputs.names import printable


class Root:
    """Real paths compared with that of the root; without a root, every path is inside."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self._real = None if folder is None else os.path.realpath(folder)
        self._real_folders: dict[str, str] = {}

    def holds(self, real: str) -> bool:
        """Whether a real path is inside."""
        if self._real is None or real == self._real:
            return True
        return real.startswith(self._real.rstrip(os.sep) + os.sep)

    def refusal(self, real: str) -> FileError | None:
        """Why the file or folder at a real path may not be read, if it may not."""
        if self.holds(real):
            return None
        return FileError(
            Reason.OUTSIDE_ROOT,
            f"a link leads to {printable(real)}, which is outside of --root "
            f"{printable(str(self.folder))}; --root with a folder above both allows it",
        )

    def refusal_of_path(self, path: str) -> FileError | None:
        """The same for an absolute path; each folder's links are followed once."""
        if self._real is None:
            return None
        if os.path.islink(path):
            return self.refusal(os.path.realpath(path))
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return self.refusal(os.path.join(self._real_folders[folder], name))
