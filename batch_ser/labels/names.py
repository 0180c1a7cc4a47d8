"""Which recording of an output a label file means, where it has another folder or no ending."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from batch_ser.calls import plain_cell


class RecordingNames:
    """Names of recordings, found by the end of a path: `labels/a/1.txt` is `b/a/1.wav`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set[str]()
        self._by_name = dict[str, list[str]]()  # by the last part
        self._by_stem = dict[str, list[str]]()  # by the last part without its ending
        for name in names:
            path = PurePosixPath(name)
            self._names.add(name)
            self._by_name.setdefault(path.name, []).append(name)
            self._by_stem.setdefault(path.stem, []).append(name)

    def find(self, file: str, like: str = "") -> list[str]:
        """The recording of this name, or all that the name could mean; empty if there is none.

        `like` is a name without ending, or with a second one (`a`, or `a.wav`, of `a.wav.txt`).
        """
        written, plain = file or like, plain_cell(file) if file else like
        spellings = list(dict.fromkeys((written, plain, plain.replace("\\", "/"))))
        if exact := next((each for each in spellings if each in self._names), None):
            return [exact]
        return next(filter(None, (self._closest(each, file) for each in spellings)), [])

    def _closest(self, wanted: str, file: str) -> list[str]:
        """The recordings of this last part that have most folders in common with it."""
        last = PurePosixPath(wanted).name
        found = self._by_name.get(last) or ([] if file else self._by_stem.get(last, []))
        shared = {name: _shared_folders(name, wanted) for name in found}
        most = max(shared.values(), default=0)
        return [name for name, count in shared.items() if count == most]


def _shared_folders(one: str, other: str) -> int:
    """How many folders two names have in common, from the last one on."""
    folders = (reversed(PurePosixPath(name).parts[:-1]) for name in (one, other))
    count = 0
    for left, right in zip(*folders, strict=False):
        if left != right:
            break
        count += 1
    return count
