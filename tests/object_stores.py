"""A small object store on this machine, and outputs that are copied there and back."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_ser.results.layout import Output
from batch_ser.storage import open_folder

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
sys.stdin.read()
"""
KEYS = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret"}


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 server in a process of its own, which ends with this one."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin
    assert server.stdout
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def environment(server: str) -> dict[str, str]:
    """The variables with which a process uses a server, and nothing of this machine."""
    nowhere = {
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    place = {"AWS_ENDPOINT_URL": server, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    return place | KEYS | nowhere


def make_bucket(server: str, name: str) -> str:
    """A new bucket; its address."""
    with urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT")):
        return f"s3://{name}"


def put(folder: Path, address: str) -> None:
    """Copy the files of a folder, and of those in it, to an object store."""
    store = open_folder(address)
    for path in folder.rglob("*"):
        if path.is_file():
            store.write(str(path.relative_to(folder)), path.read_bytes())


def fetched(address: str, folder: Path) -> Path:
    """Copy everything below an address, and the output of that name to a local folder.

    Returns where it is then: an output with the same tables.
    """
    output = Output(address)
    for found in output.folder.entries():
        target = (folder if output.single_file else folder / "out") / found.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(output.folder.read(found.name))
    return folder / (address.rpartition("/")[2] if output.single_file else "out")
