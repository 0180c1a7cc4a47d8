"""The lock files: every requirement in an exact version with hashes, and no address of an index."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from documents import read, rows, section
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("constraints.txt", "constraints-dev.txt")
ENTRY = re.compile(r"([a-z0-9][a-z0-9.-]*)==([^\s;]+)(?: ; [^\\\n]+)? \\((?:\n    \S+(?: \\)?)+)\n")
HASH = re.compile(r"\n    --hash=sha256:[0-9a-f]{64}(?: \\)?")
INDEX = re.compile(
    r"\bpy(?:pi|thon(?:hosted)|torch)\.org|://[^\s\"'`)]*/simple\b"
    r"|(?:index-url|find-links)[ =]+[\"']?(?:\w+://|/)"
)
INSTALL = REPOSITORY / "deploy" / "install_locked.sh"


def locked(name: str) -> dict[str, str]:
    """Versions by package."""
    return {package: version for package, version, _ in ENTRY.findall(read(name))}


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_belongs_to_an_exact_version_with_hashes(name: str) -> None:
    text = read(name)
    assert "".join(found[0] for found in ENTRY.finditer(text)) == text
    for package, _, hashes in ENTRY.findall(text):
        assert HASH.sub("", hashes) == "", package


def test_every_requirement_is_locked() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    program = locked("constraints.txt")
    everything = program | locked("constraints-dev.txt")
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in map(Requirement, lines):
            if (name := canonicalize_name(requirement.name)) != "batch-ser":
                versions = everything if extra in ("dev", "docs") else program
                assert versions[name] in requirement.specifier, f"{requirement}: make lock"


def test_every_extra_is_in_the_table_of_extras() -> None:
    table = rows(section(read("docs/install.md"), "## Extras"))
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert {cells[0].strip("`") for cells in table[1:]} == set(extras)


def test_no_package_is_in_both() -> None:
    assert not locked("constraints.txt").keys() & locked("constraints-dev.txt").keys()


def test_no_tracked_file_has_an_address_of_an_index() -> None:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no git repository here, which knows the files")
    for name in done.stdout.decode().split("\0")[:-1]:
        if (path := REPOSITORY / name).is_file():
            found = INDEX.search(path.read_bytes().decode("utf-8", "ignore"))
            assert found is None, f"{name}: {found}"


@pytest.mark.parametrize(
    "line",
    [
        "--index-url {}host/simple",
        "see {}host/a/simple/",
        "--find-links" + "=/wheels",
        "{}py" + "pi.org",
    ],
)
def test_an_address_of_an_index_is_found(line: str) -> None:
    assert INDEX.search(line.format("https:" + "//"))


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """Writes the arguments of each call, and the lock files among them, to calls.txt."""
    path = tmp_path / "python"
    path.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "files = [each for each in map(pathlib.Path, sys.argv[1:]) if each.is_file()]\n"
        "with open(pathlib.Path(__file__).with_name('calls.txt'), 'a') as calls:\n"
        "    print(' '.join(sys.argv[1:]), *[each.read_text() for each in files], file=calls)\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("index", ["", "the-index"])
def test_without_cuda_only_torch_is_from_another_index(fake_python: Path, index: str) -> None:
    environment = os.environ | {"TORCH_INDEX": index}
    command = [str(INSTALL), str(fake_python), *LOCKS]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
    first, *more = fake_python.with_name("calls.txt").read_text().split("-m pip ")[1:]
    torch = [f"{name}=={locked('constraints.txt')[name]}" for name in ("torch", "torchaudio")]
    names = {name for name, _, _ in ENTRY.findall(more[0] if index else first)}
    everything = locked(LOCKS[0]).keys() | locked(LOCKS[1]).keys()
    cuda = {name for name in everything if re.match("nvidia-|cuda-|triton$", name)}
    assert len(cuda) > 15
    if not index:
        assert "--require-hashes" in first
        assert (names, more) == (everything, [])
        return
    assert f"--index-url the-index {' '.join(torch)}\n" in first
    assert "--require-hashes" in more[0]
    assert names == everything - cuda - {"torch", "torchaudio"}
