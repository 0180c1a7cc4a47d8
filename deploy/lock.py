"""Exact versions with hashes of everything that is installed: `make lock`, which needs uv.

constraints.txt has the program with its extras, constraints-dev.txt what the tests and the
documents need beyond it; both for every platform and Python that `pyproject.toml` allows. Versions
stay as they are unless `pyproject.toml` excludes them, or `--upgrade` is given.
"""

import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
LOCK, LOCK_DEV = REPOSITORY / "constraints.txt", REPOSITORY / "constraints-dev.txt"
EXTRAS = ("aws", "cluster", "hf", "onnx", "serve")
OPTIONS = (
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
)
NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def resolve(out: Path, *options: str) -> None:
    """Write a lock file; the versions in an earlier one are preferred."""
    command = ["uv", "pip", "compile", "pyproject.toml", *OPTIONS, *options, "-o", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def blocks(text: str) -> dict[str, str]:
    """The lines of each package, by name; of one with several versions all of them."""
    starts = [*(found.start() for found in NAME.finditer(text)), len(text)]
    found: dict[str, str] = {}
    for first, end in pairwise(starts):
        block = text[first:end]
        name = NAME.findall(block)[0]
        found[name] = found.get(name, "") + block
    return found


def main() -> None:
    upgrade = [option for option in sys.argv[1:] if option == "--upgrade"]
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "constraints.txt"
        earlier = [path.read_text() for path in (LOCK, LOCK_DEV) if path.exists()]
        everything.write_text("".join(earlier))
        resolve(everything, "--all-extras", *upgrade)
        every = blocks(everything.read_text())
        extras = [word for name in EXTRAS for word in ("--extra", name)]
        program = Path(folder) / "program.txt"
        resolve(program, *extras, "--constraint", str(everything))
        LOCK.write_text("".join(every[name] for name in blocks(program.read_text())))
    rest = every.keys() - blocks(LOCK.read_text()).keys()
    LOCK_DEV.write_text("".join(every[name] for name in sorted(rest)))


if __name__ == "__main__":
    main()
