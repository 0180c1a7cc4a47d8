"""A run contacts no other machine and writes nothing below the home folder: all processes watched.

A preloaded C library (`tests/network_log.c`) logs the names that are resolved and the addresses
that are connected to, of the driver, of Ray's processes and of the workers. Where the system
allows it, they also run in a network namespace that has the loopback interface alone.
"""

import ipaddress
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROGRAM, REPOSITORY

pytestmark = pytest.mark.ray
LOOPBACK_ALONE = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up; exec "$@"')


@dataclass(frozen=True)
class NetworkLog:
    """What processes asked of the network."""

    names: set[str]  # resolved
    addresses: set[str]  # connected or sent to
    alone: bool  # in a network namespace


def namespace() -> tuple[str, ...]:
    """The words before a command that give it a loopback interface alone; none if not allowed."""
    command = (*LOOPBACK_ALONE, "sh")
    if not shutil.which("unshare") or not shutil.which("ip"):
        return ()
    done = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if done.returncode == 0 else ()


def watched(folder: Path, *arguments: object) -> NetworkLog:
    """Run the program, with an empty home folder, and read what it asked of the network."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here, which compiles the library that logs network calls")
    library, log, home = (folder / name for name in ("network_log.so", "log.txt", "home"))
    source = REPOSITORY / "tests" / "network_log.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    home.mkdir()
    log.touch()
    hidden = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "RAY_AUTH_TOKEN")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"HOME": str(home), "LD_PRELOAD": str(library), "NETWORK_LOG": str(log)}
    prefix = namespace()
    command = [*prefix, *map(str, (PROGRAM, *arguments))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    names = {text for call, text in lines if call == "resolve" and not is_address(text)}
    addresses = {text for call, text in lines if call in ("connect", "send")}
    return NetworkLog(names, addresses, alone=bool(prefix))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_this_machine(address: str, *, alone: bool) -> bool:
    """Whether it is the loopback interface or, beside others, one of this machine's own."""
    found = ipaddress.ip_address(address)
    plain = getattr(found, "ipv4_mapped", None) or found
    if plain.is_loopback or alone:
        return bool(plain.is_loopback)
    family = socket.AF_INET if plain.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as own:
        try:
            own.bind((str(plain), 0))  # which no address of another machine allows
        except OSError:
            return False
    return True


def test_a_run_contacts_no_other_machine(tmp_path: Path, calls: Path) -> None:
    out = tmp_path / "out.parquet"
    log = watched(tmp_path, "run", "--input", calls, "--out", out, "--workers", 2)
    assert pd.read_parquet(tmp_path / "out.files.parquet")["status"].tolist() == ["ok"] * 4
    print(f"names resolved: {sorted(log.names)}; addresses: {sorted(log.addresses)}")
    assert log.addresses, "Ray's processes connect to each other: the library logs nothing"
    assert log.names <= {"localhost", socket.gethostname()}
    assert all(is_this_machine(each, alone=log.alone) for each in log.addresses)
    assert not list((tmp_path / "home").iterdir())
