"""The steps of the image, as far as they can be tried without Docker and without a network."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from conftest import REPOSITORY
from documents import read
from scripts import module_of

from jobs.cli import app
from jobs.serve import ServeConfig


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    return module_of(REPOSITORY / "deploy" / "healthcheck.py")


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("python batch-ser serve", 8_000),
        ("python batch-ser serve --port 8001", 8_001),
        ("python batch-ser serve --port=8002 --host 0.0.0.0", 8_002),
        ("python batch-ser run --input serve/", None),
        ("", None),
    ],
)
def test_the_health_of_a_server_is_asked_for_on_its_port(
    healthcheck: ModuleType, command: str, port: int | None
) -> None:
    assert healthcheck.port_of(command.split()) == port


def test_the_health_of_a_server_is_asked_for_with_its_token(
    healthcheck: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-a-file\n")
    monkeypatch.setenv("BATCH_SER_TOKEN", "of-a-variable")
    for options, token in (
        (["--token-file", f"{tmp_path}/token"], "of-a-file"),
        ([f"--token-file={tmp_path}/token"], "of-a-file"),
        ([], "of-a-variable"),
    ):
        assert healthcheck.token_of(["batch-ser", "serve", *options]) == token


def test_a_server_of_the_documents_starts_with_its_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`docker run ... serve`: a host that others reach needs a token and a name."""
    [words] = re.findall(r"^(.*docker run.* serve .*)$", read("docs/install.md"), re.MULTILINE)
    options = shlex.split(words.partition(" serve ")[2])
    assert "--env BATCH_SER_TOKEN" in words
    monkeypatch.setenv("BATCH_SER_TOKEN", "a" * 64)
    found: list[ServeConfig] = []
    monkeypatch.setattr("jobs.serve.serve", found.append)
    app(["serve", "--no-page", *options], standalone_mode=False)
    assert found[0].host == "0.0.0.0"


def test_an_image_is_built_for_cpu_or_cuda_and_not_by_chance() -> None:
    environment = {key: os.environ[key] for key in ("PATH",)}
    done = subprocess.run(
        [str(REPOSITORY / "deploy" / "image_steps.sh"), "libraries", "nowhere"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "expected TORCH_INDEX" in done.stderr


def test_the_image_copies_what_the_build_needs() -> None:
    """No package is left out, and what the Dockerfile names exists."""
    ignored = {line for line in read(".dockerignore").split() if "*" not in line}
    assert not ignored & {"batch_ser", "models", "train", "jobs", "deploy"}
    dockerfile = read("Dockerfile")
    named = [word for word in dockerfile.split() if word.startswith(("deploy/", "constraints"))]
    assert len(named) > 4
    for name in named:
        assert (REPOSITORY / name).exists(), name
    assert dockerfile.index("USER 1000") < dockerfile.index("ENTRYPOINT")


@pytest.mark.slow
def test_the_steps_of_the_image_make_a_program_that_runs(tmp_path: Path) -> None:
    """In a clean folder, with the libraries of this environment instead of an installation."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git repository here, of which the image is made")
    folder = tmp_path / "image"
    environment = os.environ | {
        "LIBRARIES": sysconfig.get_path("purelib"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [REPOSITORY / "deploy" / "try_image_steps.sh", folder],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No broken requirements found" in done.stdout
    assert "3 in = 3 ok" in done.stdout
    assert (folder / "results.parquet").is_file()
    assert not (folder / "source").exists()
