"""What ends a process that decodes ends one request; segments of several requests go together."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Runner, cuts
from faults import FAULTS
from processes import descendants, ended
from servers import need_extra

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from jobs.predict import PredictConfig, predict
from models import Checkpoint, load_checkpoint

need_extra()
from jobs.batcher import Batcher  # noqa: E402
from jobs.serve import ServeConfig, check_extra, children, read_token, running  # noqa: E402
from jobs.serve.messages import BadMessage, receive, send  # noqa: E402

MORE_FAULTS = """
if "memory" in name:
    import numpy as np
    np.ones(10_000_000_000)
if "lie" in name:
    import socket
    for number in os.listdir("/proc/self/fd"):
        lie = b"\\x10\\0\\0\\0\\0\\0\\0\\0" + b"{" * 16
        try:
            socket.socket(fileno=os.dup(int(number))).sendall(lie)
        except OSError:
            pass
"""
OLD_END = "from jobs.disposable import main; main()"
NEW_END = "from jobs.serve.fork_server import main; main()"


@pytest.fixture(scope="module")
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


@pytest.fixture(scope="module")
def batcher(checkpoint: Checkpoint) -> Iterator[Batcher]:
    found = Batcher(checkpoint, lambda *_: None)
    yield found
    found.close()


@pytest.fixture(scope="module")
def pool(checkpoint_path: Path, batcher: Batcher) -> Iterator[children.Children]:
    """Child processes with faults by the names of files."""
    indented = MORE_FAULTS.replace("\n", "\n    ")
    with pytest.MonkeyPatch.context() as patch:
        command = FAULTS.replace("    real(self", f"{indented}\n    real(self")
        patch.setattr(children, "COMMAND", command.replace(OLD_END, NEW_END))
        config = ServeConfig(model=str(checkpoint_path), timeout_s=4.0, has_page=False)
        found = children.Children(config, batcher)
        yield found
        found.close()


def reason(prediction: dict[str, Any]) -> str:
    return str(prediction.get("error", {}).get("reason"))


@pytest.mark.slow
def test_a_fault_ends_its_own_request_alone(
    pool: children.Children, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """A crash, a hang, a lack of memory, an exit; bytes that are no message; good ones beside.

    A process that ends is no evidence against an upload before a second one does.
    """
    good = archive / "day0" / "call18.wav"
    reasons = {
        "crash": "decoder_crash",
        "killed": "decoder_crash",
        "exit": "decoder_crash",
        "lie": "decoder_crash",
        "hang": "timeout",
        "memory": "out_of_memory",
        "error": "internal_error",
        "once": "None",  # its first process dies, for whatever reason
        "good": "None",
    }
    names = [*reasons] * 2
    for name in reasons:
        (tmp_path / f"{name}.wav").write_bytes(good.read_bytes())
    with ThreadPoolExecutor(8) as threads:
        paths = [tmp_path / f"{name}.wav" for name in names]
        found = list(threads.map(lambda path: pool.predict(path, "a.wav", "mix"), paths))
    assert [reason(each) for each in found] == [reasons[name] for name in names]
    config = PredictConfig(str(checkpoint_path), with_segments=True)
    [expected] = predict([str(good)], config)
    assert expected["segments"]
    assert found[-1]["all_emotions"] == pytest.approx(expected["all_emotions"], abs=1e-4)
    assert str(tmp_path) not in str(found)


@pytest.mark.slow
def test_a_fork_server_that_is_killed_is_started_again(
    pool: children.Children, archive: Path
) -> None:
    good = archive / "day0" / "call18.wav"
    fork_server = pool._process.pid
    processes = [fork_server, *descendants(fork_server)]
    assert len(processes) > 1
    for process in processes:
        os.kill(process, signal.SIGKILL)
    assert not ended(processes, within_s=10)
    assert reason(pool.predict(good, "a.wav", "mix")) == "None"
    assert pool.is_alive


def test_after_the_end_no_process_is_started(
    batcher: Batcher, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs then does not begin again: the server would end seconds later."""
    ready = (
        "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.send(b'.'); s.recv(1)"
    )
    monkeypatch.setattr(children, "COMMAND", ready)
    found = children.Children(ServeConfig(has_page=False), batcher)
    first = found._process.pid
    found.close()
    assert reason(found.predict(calls / "announcement.opus", "a.opus", "mix")) == "internal_error"
    assert found._process.pid == first


class Slow(Checkpoint):
    """A checkpoint that waits before it scores."""

    def __init__(self, other: Checkpoint) -> None:
        self.__dict__ |= other.__dict__
        self.goes_on = threading.Event()

    def features(self, segments: Any) -> Any:
        assert self.goes_on.wait(60)
        if any(len(each) == 1_234 for each in segments):
            raise ZeroDivisionError
        return super().features(segments)


def test_what_comes_while_others_are_scored_is_scored_together(
    checkpoint: Checkpoint, speech: Samples
) -> None:
    """With the same scores as alone; a segment that cannot be scored fails its own caller."""
    slow, together = Slow(checkpoint), []
    batcher = Batcher(slow, lambda callers, pieces: together.append((callers, pieces)))
    segments = [each for each in cuts(speech) if len(each)]
    first = batcher.submit(segments[:1])
    while not together:  # it is being scored
        pass
    waiting = [batcher.submit([each]) for each in segments[1:]]
    bad = batcher.submit([speech[:1_234], segments[0]])
    slow.goes_on.set()
    found = [each.result(60)[0][0] for each in (first, *waiting)]
    assert np.abs(np.array(found) - checkpoint.score_all(segments)).max() < 1e-4
    with pytest.raises(ZeroDivisionError):
        bad.result(60)
    assert together == [(1, 1), (len(waiting) + 1, len(waiting) + 2)]
    batcher.close()


def test_embeddings_are_those_of_the_checkpoint(
    batcher: Batcher, checkpoint: Checkpoint, speech: Samples
) -> None:
    segments = cuts(speech)
    features = checkpoint.features(segments)
    expected = checkpoint.score_features(features, embed=True)
    for mine, theirs in zip(batcher.submit(segments, embed=True).result(60), expected, strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() < 1e-3


def sent(data: bytes) -> Any:
    """What is received of bytes."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.sendall(data)
        mine.shutdown(socket.SHUT_WR)
        return receive(theirs)


def test_messages_arrive_as_they_were_sent(speech: Samples) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        arrays = [speech[:5_000], np.zeros((3, 0), np.float32), np.ones((2, 4), np.float32)]
        send(mine, {"a": ["ü", 1]}, arrays)
        mine.close()
        content, found = receive(theirs) or ({}, [])
        assert content == {"a": ["ü", 1]}
        assert all(np.array_equal(a, b) for a, b in zip(arrays, found, strict=True))
        assert receive(theirs) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\1",
        b"\xff" * 8,
        b"\2\0\0\0\0\0\0\0{}",
        b"\2\0\0\0\0\0\0\0[]",
        b"\x10\0\0\0\0\0\0\0" + b"[" * 16,
        b"\x0e\0\0\0\4\0\0\0" + b'{"shapes":[2]}' + bytes(4),
        b"\x10\0\0\0\4\0\0\0" + b'{"shapes":[[2]]}' + bytes(4),
        b"\x11\0\0\0\4\0\0\0" + b'{"shapes":[[-1]]}' + bytes(4),
        b"\x12\0\0\0\4\0\0\0" + b'{"shapes":["ab  "]' + bytes(4),
        b"\x10\0\0\0\3\0\0\0" + b'{"shapes":[[0]]}' + bytes(3),
    ],
)
def test_what_is_no_message_is_an_error_of_one_kind(data: bytes) -> None:
    with pytest.raises(BadMessage):
        sent(data)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"host": "192.0.2.1"}, "expected a token"),
        ({"host": "0.0.0.0", "token": "x" * 20}, "--allow-host"),
        ({"host": "", "token": "x" * 20}, "expected an address of this machine"),
        ({"port": 70_000}, "0 .any free one. to 65535"),
        ({"max_requests": 0}, "--max-requests 0"),
        ({"max_minutes": float("nan")}, "--max-minutes nan"),
    ],
)
def test_options_out_of_their_range_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        ServeConfig(**options)


def test_hosts_by_which_a_server_is_known() -> None:
    assert ServeConfig().host_names == {"127.0.0.1", "localhost", "[::1]"}
    many = ServeConfig(host="::", token="x" * 20, allowed_hosts=("Calls.example", "fe80::1"))
    assert many.host_names > {"calls.example", "[fe80::1]"}
    assert "127.0.0.2" in ServeConfig(host="127.0.0.2").host_names
    assert "x" * 20 not in repr(many)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY for a socket whose protocol is named: else 40 ms a request."""
    with running.listening(ServeConfig(port=0, has_page=False)) as found:
        assert found.proto == socket.IPPROTO_TCP


def test_tokens_are_read_and_checked(tmp_path: Path) -> None:
    path, token = tmp_path / "token", "0123456789abcdef"
    assert read_token(None, {}) is None
    assert read_token(None, {"BATCH_SER_TOKEN": token}) == token
    path.write_text(f"{token}\n")
    assert read_token(str(path), {"BATCH_SER_TOKEN": "another"}) == token
    for wrong in ("", "short", "with a space 0123", "ü" * 20, "a:" * 20):
        path.write_text(wrong)
        with pytest.raises(UsageError, match=r"--token-file .*: expected 16 to"):
            read_token(str(path), {})
    with pytest.raises(UsageError, match="No such file"):
        read_token(str(tmp_path / "nothing"), {})


def test_without_its_packages_the_command_names_the_extra(
    batch_ser: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.serve.serve_config.find_spec", lambda _: None)
    done = batch_ser("serve")
    assert done.returncode == 2
    assert "pip install 'batch-ser[serve]'" in done.stderr
    with pytest.raises(UsageError, match="uvicorn"):
        check_extra(page=False)
