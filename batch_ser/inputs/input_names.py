"""The names of inputs in the tables."""

import os
from dataclasses import dataclass

from batch_ser.addresses import scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.names import table_name
from batch_ser.inputs.root import Root


@dataclass(frozen=True)
class InputNames:
    """Names are relative to `--root`, or begin with the input as given when there are several."""

    inputs: int
    root: str | None = None

    @property
    def root_folder(self) -> Root:
        """The root, which no link may leave; an address has no links."""
        return Root(None if self.root and scheme_of(self.root) else self.root)

    def of(self, path: str, alone: str = "") -> str:
        """The name of an input, or of the folder that its files' names start at.

        `alone` is the name where it is the only input and there is no root.

        Raises:
            UsageError: it is outside of the root.
        """
        root = self.root
        if root is not None and (scheme_of(root) or scheme_of(path)):
            return _name_below(path.rstrip("/"), root.rstrip("/"))
        if root is not None:
            name = os.path.relpath(path, root)
            if name.split(os.sep)[0] == os.pardir:
                raise UsageError(f"--input {path} is outside --root {root}")
            if error := self.root_folder.refusal(os.path.realpath(path)):
                raise UsageError(f"--input {path}: {error}")
            return "" if name == os.curdir else table_name(name)
        if self.inputs == 1:
            return table_name(alone)
        return table_name(path.rstrip("/") if scheme_of(path) else os.path.normpath(path))

    def of_line(self, manifest: str, name: str) -> str:
        """The name of a manifest's line: of several inputs, below the manifest's folder as given.

        Two that list an `a.wav` each mean two recordings. A root is that of all of them.
        """
        if scheme_of(name):
            return name
        if self.inputs > 1 and self.root is None:
            folder = os.path.dirname(manifest)
            folder = folder if scheme_of(manifest) else os.path.normpath(folder)
            name = os.path.join(folder, name).removeprefix("./")
        return table_name(name)


def _name_below(path: str, root: str) -> str:
    """The name of an address below the root."""
    if path != root and not path.startswith(f"{root}/"):
        raise UsageError(f"--input {path} is outside --root {root}")
    return table_name(path[len(root) + 1 :])
