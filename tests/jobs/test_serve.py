"""`batch-ser serve`: the numbers of `predict` over HTTP, and what a request may not do."""

import base64
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from broken import Broken, broken, silence
from conftest import Runner
from documents import read
from processes import descendants, ended
from servers import Server, need_extra, server

from batch_ser.audio.samples import Samples

need_extra()
import httpx  # noqa: E402

TOKEN = "a-token-of-the-tests-0123456789"
pytestmark = pytest.mark.slow  # processes that load torch


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, checkpoint_path: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    options = ("--model", checkpoint_path, "--no-page", "--max-mb", 2, "--max-minutes", 4)
    with server(folder, *options) as found:
        yield found


@pytest.fixture(scope="module")
def client(running: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.address, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> list[Path]:
    """The files of `test_hostile.py` that are files, and a bomb: an hour of silence in 1 MB."""
    folder = tmp_path_factory.mktemp("files")
    found: list[Broken] = broken(speech[30_000:62_000], tmp_path_factory.mktemp("scratch"))
    for each in found:
        each.write(folder)
    silence(folder / "bomb.flac", 60)
    return sorted(path for path in folder.iterdir() if path.is_file())


def upload(client: httpx.Client, path: Path, **query: str) -> httpx.Response:
    return client.post("/predict", params=query, files={"file": (path.name, path.read_bytes())})


def is_close(found: Any, expected: Any) -> bool:
    """Whether two answers are the same, probabilities within 1e-4."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(
            is_close(found[key], expected[key]) for key in expected if key != "filename"
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, abs=1e-4))
    return bool(found == expected)


def predicted(batch_ser: Runner, model: Path | str, *arguments: object) -> list[dict[str, Any]]:
    done = batch_ser("predict", "--model", model, *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_answers_are_those_of_predict_also_of_many_at_once(
    client: httpx.Client, batch_ser: Runner, archive: Path, calls: Path, checkpoint_path: Path
) -> None:
    files = [*archive.rglob("call*"), *calls.glob("*.opus"), *calls.glob("*.wav")]
    expected = predicted(batch_ser, checkpoint_path, "--segments", *files)
    assert any(each["segments"] for each in expected)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda path: upload(client, path, segments="true"), files))
    for path, answer, each in zip(files, answers, expected, strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.json()["filename"] == path.name
        assert is_close(answer.json(), each), path
    without = upload(client, files[0])
    del expected[0]["segments"]
    assert is_close(without.json(), expected[0])


@pytest.mark.parametrize("channels", ["split", "1", "1, 0"])
def test_channels_are_those_that_a_request_names(
    client: httpx.Client, batch_ser: Runner, calls: Path, checkpoint_path: Path, channels: str
) -> None:
    """Of a call in stereo, as of `predict`; a recording without a channel is refused."""
    call = calls / "support-ulaw.wav"
    options = ("--segments", "--channels", channels, call)
    [expected] = predicted(batch_ser, checkpoint_path, *options)
    assert {each["channel"] for each in expected["segments"]} <= {0, 1}
    answer = upload(client, call, segments="true", channels=channels)
    assert is_close(answer.json(), expected)
    if channels == "1":
        refused = upload(client, calls / "voicemail-gsm.wav", channels=channels)
        assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "bad_channels")
        assert refused.json()["error"]["message"].startswith("channels names channel 1")


def test_sixty_hostile_uploads_are_answered_and_good_ones_beside_them_too(
    client: httpx.Client,
    running: Server,
    hostile: list[Path],
    batch_ser: Runner,
    archive: Path,
    checkpoint_path: Path,
) -> None:
    """Each with the reason of its row in the files table; a trace, or a path, in none."""
    good = sorted(archive.rglob("call*.wav"))
    assert len(hostile) >= 60
    sent = [path for pair in zip(hostile, good * 9, strict=False) for path in pair]
    with ThreadPoolExecutor(8) as threads:
        answers = dict(zip(sent, threads.map(lambda path: upload(client, path), sent), strict=True))
    limits = ("--max-hours", 4 / 60)
    expected = predicted(batch_ser, checkpoint_path, *limits, *answers)
    for (path, answer), each in zip(answers.items(), expected, strict=True):
        found = answer.json()
        if path.stat().st_size > 2e6:
            assert answer.status_code == 413
        elif "error" in each:
            assert 400 <= answer.status_code < 500, path
            assert found["error"]["reason"] == each["error"]["reason"], path
            assert found["filename"] == path.name
        else:
            assert answer.status_code == 200
            assert is_close(found, each), path
        assert "Traceback" not in answer.text
        assert str(running.folder) not in answer.text
        assert "upload." not in answer.text
    assert client.get("/health").json() == {"status": "ok", "model": "small"}
    assert running.uploads() == []
    assert "Traceback" not in (running.folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"content": b"no form"}, 400, "bad_form"),
        ({"files": {"other": ("a.wav", b"RIFF")}}, 400, "bad_form"),
        ({"data": {"file": "a.wav"}}, 400, "bad_form"),
        ({"files": [("file", ("a.wav", b"1")), ("file", ("b.wav", b"2"))]}, 400, "bad_form"),
        ({"files": {"file": ("a.wav", b"")}}, 422, "no_audio"),
        ({"files": {"file": ("a.wav", bytes(2_100_000))}}, 413, "too_large"),
        ({"files": {"file": ("a.wav", b"1")}, "params": {"segments": "maybe"}}, 422, "bad_request"),
        ({"files": {"file": ("a.wav", b"1")}, "params": {"channels": "left"}}, 422, "bad_request"),
        ({"headers": {"Host": "example.org"}}, 421, "wrong_host"),
        ({"headers": {"Origin": "http://example.org"}}, 403, "cross_origin"),
        ({"headers": {"Origin": "null"}}, 403, "cross_origin"),
        ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "cross_origin"),
        (
            {
                "content": b"--x\r\nContent-Disposition: form-data\r\n\r\n",
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            400,
            "bad_form",
        ),
        (
            {
                "content": b"--x\r\n\r\n\r\n" * 100
                + b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
                + b"1\r\n--x--",
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            400,
            "bad_form",
        ),
        (
            {
                "content": b"garbage" * 99,
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            400,
            "bad_form",
        ),
    ],
)
def test_bad_requests_are_refused_with_a_reason(
    client: httpx.Client, running: Server, request_: dict[str, Any], status: int, reason: str
) -> None:
    answer = client.post("/predict", **request_)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)
    assert running.uploads() == []


def test_an_upload_that_ends_early_is_not_scored(client: httpx.Client, calls: Path) -> None:
    """A form without its last boundary, and so perhaps without the end of the recording."""
    files = {"file": ("a.opus", (calls / "announcement.opus").read_bytes())}
    whole = client.build_request("POST", "/predict", files=files)
    kind = {"Content-Type": whole.headers["Content-Type"]}
    answer = client.post("/predict", content=whole.read()[:-30_000], headers=kind)
    assert answer.status_code == 400
    assert "ends early" in answer.json()["error"]["message"]


def test_an_upload_without_a_stated_length_is_bounded_too(client: httpx.Client) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(400):
            yield bytes(10_000)

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/predict", content=body(), headers=form)
    assert answer.json()["error"]["reason"] == "too_large"


@pytest.mark.parametrize("name", ["../../etc/a.wav", "C:\\calls\\a.wav", "a\0b.wav", "ü" * 300, ""])
def test_names_of_uploads_lead_nowhere(client: httpx.Client, name: str) -> None:
    content = b"Dear Sir, this is a letter.\n" * 40
    answer = client.post("/predict", files={"file": (name or ".", content)})
    assert answer.status_code == 415, answer.text
    found = answer.json()["filename"]
    assert "/" not in found
    assert "\\" not in found
    assert len(found) <= 255


def test_the_other_routes(client: httpx.Client, checkpoint_path: Path) -> None:
    models = client.get("/models").json()
    assert models["served"]["name"] == "small"
    assert {each["name"] for each in models["checkpoints"]} >= {"accurate", "fast"}
    docs = client.get("/docs").text
    assert "POST /predict" in docs
    assert "GET /metrics" in docs
    assert not re.search(r"(src|href)=.?(https?:)?//", docs)
    assert "/predict" in client.get("/openapi.json").json()["paths"]
    before = client.get("/metrics").text
    upload(client, checkpoint_path)  # no audio
    after = client.get("/metrics").text
    upload(client, checkpoint_path, channels="left")
    refused = 'batch_ser_requests_total{outcome="bad_request"}'
    assert _value(client.get("/metrics").text, refused) == _value(after, refused) + 1
    name = 'batch_ser_requests_total{outcome="unsupported"}'
    assert _value(after, name) == _value(before, name) + 1
    assert client.get("/nothing").json()["error"]["reason"] == "not_found"
    assert client.get("/predict").json()["error"]["reason"] == "method_not_allowed"


def _value(metrics: str, name: str) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith(name)]
    return float(lines[0].split()[-1]) if lines else 0.0


@pytest.mark.parametrize(("page", "commands"), [("docs/serve.md", 3), ("README.md", 1)])
def test_the_commands_of_the_documents(
    running: Server, calls: Path, tmp_path: Path, page: str, commands: int
) -> None:
    """Every `curl`, as it is there but for the address."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    shutil.copy(calls / "announcement.opus", tmp_path / "call.wav")
    (tmp_path / "examples").symlink_to(calls.parent)
    lines = re.findall(r"^curl .*$", read(page), re.MULTILINE)
    assert len(lines) == commands
    for line in lines:
        words = shlex.split(line.replace("http://127.0.0.1:8000", running.address))
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        if "/predict" in line:
            assert answer["emotion"] in answer["all_emotions"]
        else:
            assert answer["status"] == "ok"


def test_a_token_guards_every_route(tmp_path: Path, checkpoint_path: Path, calls: Path) -> None:
    options = ("--model", checkpoint_path, "--no-page", "--max-requests", 1, "--timeout-s", 8)
    options = (*options, "--access-log")
    basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    with server(tmp_path, *options, token=TOKEN) as running:
        with httpx.Client(base_url=running.address, timeout=60) as client:
            for path in ("/health", "/docs", "/models", "/metrics", "/openapi.json", "/", "/x"):
                for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic ="}):
                    answer = client.get(path, headers=wrong, params={"token": TOKEN})
                    assert answer.status_code == 401, path
                    assert answer.headers["www-authenticate"].startswith("Basic")
            for right in (f"Bearer {TOKEN}", f"Basic {basic}"):
                client.headers["Authorization"] = right
                assert client.get("/health").status_code == 200
            _one_at_a_time(running, client, calls / "announcement.opus")
        log = (tmp_path / "log.txt").read_text()
        assert TOKEN not in log
        assert re.search(r'^[\d-]+ [\d:,]+ 127\.0\.0\.1:\d+ "GET /health HTTP/1\.1" 200', log, re.M)
        children = descendants(running.process.pid)
        assert children
        assert running.stop() == 143
        assert not ended(children, within_s=10)
        assert list(tmp_path.glob("batch-ser-scratch-*/*")) == []


def _one_at_a_time(running: Server, client: httpx.Client, path: Path) -> None:
    """A client that sends nothing more takes the only place until its time is over."""
    port = int(running.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 900\r\n"
            f"Authorization: Bearer {TOKEN}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        slow.sendall(head.encode())
        while _value(client.get("/metrics").text, "batch_ser_requests_in_progress") < 1:
            pass
        [folder] = running.uploads()
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        refused = upload(client, path)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert b"408" in slow.recv(4_096).splitlines()[0]
    assert upload(client, path).status_code == 200
    assert running.uploads() == []


def test_the_end_of_its_terminal_ends_a_server_in_order(
    tmp_path: Path, checkpoint_path: Path
) -> None:
    """Also where standard error is that terminal."""
    own, terminal = os.openpty()
    program = (  # the tests may run under nohup
        "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); from jobs.cli import app; app()"
    )
    command = [sys.executable, "-c", program, "serve"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-page", "--model", str(checkpoint_path)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    os.close(terminal)
    text = b""
    while b"serving" not in text:
        text += os.read(own, 1_000)
    children = descendants(process.pid)
    os.close(own)
    assert process.wait(60) == 143
    assert not ended(children, within_s=10)
    assert list(tmp_path.glob("batch-ser-scratch-*/*")) == []


def test_an_offset_is_taken_over(
    tmp_path: Path, batch_ser: Runner, calls: Path, archive: Path
) -> None:
    """The same numbers as `predict --adapt-from`, and others than without."""
    out, path = tmp_path / "out.parquet", calls / "announcement.opus"
    job = ("--input", archive, "--out", out, "--model", "fast", "--engine", "inline")
    assert batch_ser("run", *job).returncode == 0
    usual, adapted = (
        predicted(batch_ser, "fast", path),
        predicted(batch_ser, "fast", "--adapt-from", out, path),
    )
    options = ("--model", "fast", "--adapt-from", out, "--no-page")
    with server(tmp_path, *options) as running, httpx.Client(timeout=60) as client:
        client.base_url = running.address
        answer = upload(client, path).json()
    assert is_close(answer, adapted[0])
    assert not is_close(answer, usual[0])
