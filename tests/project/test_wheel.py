"""The wheel: all packages and the checkpoints, and a program that runs where it is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from conftest import PACKAGES, REPOSITORY

pytestmark = pytest.mark.ray
UNTRACKED = (".*", "build", "dist", "__pycache__", "*.egg-info")


def call(*command: object, cwd: Path) -> str:
    """Run a command that must succeed, without the packages of this process's import path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that what a build leaves behind does not lie in the repository."""
    root = tmp_path_factory.mktemp("wheel")
    shutil.copytree(REPOSITORY, root / "source", ignore=shutil.ignore_patterns(*UNTRACKED))
    call(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", root, "--quiet", root / "source"),
        cwd=root,
    )
    (path,) = root.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A virtual environment with the wheel and, as a path, the libraries of this one.

    Python reads no `.pth` files of a folder that a `.pth` file names, so that the editable
    installation of this environment is out of reach.
    """
    path = wheel.parent / "environment"
    call(sys.executable, "-m", "venv", "--without-pip", path, cwd=wheel.parent)
    python = path / "bin" / "python"
    call(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"),
        *("--quiet", wheel),
        cwd=wheel.parent,
    )
    (packages,) = path.glob("lib/python*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(sorted(libraries)))
    return path


def test_it_holds_every_package_and_all_weights_and_nothing_else(wheel: Path) -> None:
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")}
    checkpoints = set((REPOSITORY / "models" / "checkpoints").iterdir())
    assert {path.suffix for path in checkpoints} == {".safetensors", ".md"}
    weights = checkpoints | {REPOSITORY / "batch_ser" / "segments" / "silero.safetensors"}
    page = {path for path in (REPOSITORY / "batch_ser" / "report").iterdir() if path.is_file()}
    expected = modules | weights | page
    assert found == {path.relative_to(REPOSITORY).as_posix() for path in expected}
    packages = {path.parent for path in modules}
    assert all(package / "__init__.py" in modules for package in packages)


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    code = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    call(sys.executable, "-c", code, cwd=wheel.parent / "source")
    (sdist,) = wheel.parent.glob("*.tar.gz")
    call(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, "--quiet", sdist),
        cwd=tmp_path,
    )
    (other,) = tmp_path.glob("*.whl")
    assert set(zipfile.ZipFile(other).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_it_scores_the_example_calls_beside_packages_of_the_same_names(
    environment: Path, calls: Path, tmp_path: Path
) -> None:
    for name in (*PACKAGES, "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('another package')")
    call(
        *(environment / "bin" / "batch-ser", "run", "--input", calls, "--out", "out.parquet"),
        *("--engine", "ray", "--workers", 1),
        cwd=tmp_path,
    )
    files = pd.read_parquet(tmp_path / "out.files.parquet")
    assert files["status"].tolist() == ["ok"] * 4
    code = "import batch_ser, models, train, jobs; print(batch_ser.__file__, models.__file__)"
    found = call(environment / "bin" / "python", "-P", "-c", code, cwd=tmp_path).split()
    assert all(Path(path).is_relative_to(environment) for path in found)
