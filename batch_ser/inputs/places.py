"""Where files are, so that one that is in a folder and in a manifest is recognised."""

import os
from dataclasses import dataclass, field

from batch_ser.addresses import scheme_of
from batch_ser.errors import Reason
from batch_ser.inputs.files import InputFile


@dataclass
class Places:
    """Files by their paths, of which links to folders are followed, or by their addresses."""

    _files: set[str] = field(default_factory=set)
    _real_folders: dict[str, str] = field(default_factory=dict)

    def add(self, file: InputFile) -> None:
        """Add a file that a source lists, unless the source may not read it, and others may."""
        if file.error is None or file.error.reason is not Reason.OUTSIDE_ROOT:
            self._files.add(self._place(file))

    def __contains__(self, file: InputFile) -> bool:
        return self._place(file) in self._files

    def _place(self, file: InputFile) -> str:
        if scheme_of(file.path):
            return file.path
        folder, name = os.path.split(file.path)
        if folder not in self._real_folders:
            try:
                self._real_folders[folder] = os.path.realpath(folder)
            except ValueError:  # a name with a NUL in it
                self._real_folders[folder] = folder
        return os.path.join(self._real_folders[folder], name)
