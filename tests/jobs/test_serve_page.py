"""The page of `batch-ser serve` in a browser: upload, microphone, a wrong file."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser, requested
from servers import Server, need_extra, server

need_extra()
need_extra("gradio")
import httpx  # noqa: E402

TOKEN = "a-token-of-the-tests-0123456789"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
LONGEST_S = 120
pytestmark = pytest.mark.slow  # imports Gradio, and starts a browser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, checkpoint_path: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    with server(folder, "--model", checkpoint_path, "--max-mb", 2, token=TOKEN) as found:
        yield found


@pytest.fixture(scope="module")
def driver(running: Server) -> Iterator[Any]:
    """A browser on the page, with the token as a browser sends a password."""
    with browser(*MICROPHONE) as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": RIGHT})
        driver.get(running.address)
        until(lambda: found(driver, "#score"))
        yield driver


def until(holds: Callable[[], Any]) -> Any:
    """Wait until something holds."""
    end = time.monotonic() + LONGEST_S
    while not (value := holds()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return value


def found(driver: Any, selector: str) -> list[Any]:
    return list(driver.find_elements("css selector", selector))


def button(driver: Any, label: str) -> Any:
    return until(lambda: [each for each in found(driver, "button") if each.text == label])[0]


def uploads(running: Server) -> list[Path]:
    files = [path for path in running.folder.rglob("page/**/*") if path.is_file()]
    for page in running.folder.rglob("page"):
        assert page.stat().st_mode & 0o777 == 0o700
    return files


def score(driver: Any, articles: int, text: str) -> list[Any]:
    found(driver, "#score")[0].click()
    until(lambda: text in driver.find_element("id", "results").text)
    return until(lambda: len(a := found(driver, "article")) == articles and a)


def test_files_are_scored_shown_and_removed(driver: Any, running: Server, calls: Path) -> None:
    """A recording with bars, a time line that plays, and a wrong file with its reason."""
    files = [calls / "announcement.opus", Path(__file__)]
    found(driver, "input[type=file]")[0].send_keys("\n".join(map(str, files)))
    until(lambda: len(uploads(running)) == 2)
    good, wrong = score(driver, 2, "unsupported")
    assert good.text.startswith("announcement.opus")
    assert len(good.find_elements("css selector", ".bar")) == 4
    assert "holds text" in wrong.text
    segments = good.find_elements("css selector", "[data-start]")
    assert len(segments) > 2
    segments[1].click()
    audio = good.find_element("css selector", "audio")
    start = float(segments[1].get_attribute("data-start"))
    until(lambda: start < audio.get_property("currentTime") < start + LONGEST_S)
    assert not audio.get_property("error")
    segments[2].send_keys(" ")
    until(
        lambda: audio.get_property("currentTime") > float(segments[2].get_attribute("data-start"))
    )
    assert uploads(running) == []


def test_channels_are_shown_in_rows_of_their_own(driver: Any, calls: Path) -> None:
    until(lambda: found(driver, "input[value=split]"))[0].click()
    until(lambda: found(driver, "input[type=file]"))[0].send_keys(str(calls / "support-ulaw.wav"))
    [call] = score(driver, 1, "Segments from above: channel 0")
    rows = {each.get_attribute("y") for each in call.find_elements("css selector", "[data-start]")}
    assert len(rows) == 2
    assert "channel 1: " in call.text
    found(driver, "input[value=mix]")[0].click()


def test_the_microphone(driver: Any, running: Server) -> None:
    button(driver, "Record").click()
    time.sleep(2)
    button(driver, "Stop").click()
    until(lambda: uploads(running))
    [only] = score(driver, 1, "audio.wav")
    assert "decod" not in only.text
    assert uploads(running) == []


def test_nothing_is_asked_of_another_machine(driver: Any, running: Server) -> None:
    """Of all that the tests before requested."""
    addresses = {each for each in requested(driver) if not each.startswith(("data:", "blob:"))}
    assert addresses
    assert {each for each in addresses if not each.startswith(running.address)} == set()


def test_every_route_of_the_page_needs_the_token(running: Server) -> None:
    with httpx.Client(base_url=running.address, timeout=60) as client:
        for path in ("/", "/config", "/gradio_api/upload", "/theme.css", "/nothing"):
            assert client.get(path).status_code == 401, path
        assert client.get("/config", headers=RIGHT).status_code == 200
        form = {"files": ("a.wav", bytes(2_100_000))}
        assert client.post("/gradio_api/upload", files=form, headers=RIGHT).status_code == 413
        form = {"files": ("a.wav", b"RIFF")}
        sent = client.post("/gradio_api/upload", files=form)
        assert sent.status_code == 401
        outside = client.get("/gradio_api/file=/etc/passwd", headers=RIGHT)
        assert outside.status_code in (403, 404)
    assert uploads(running) == []


def asked(
    client: httpx.Client, path: str | None, spoken: str | None = None, channels: str = "mix"
) -> str:
    """What the page's button would show for files that its upload named."""
    files, recorded = (
        {"path": each, "orig_name": "a.opus", "meta": {"_type": "gradio.FileData"}}
        for each in (path, spoken)
    )
    data = [path and [files], spoken and recorded, channels]
    body = {"data": data, "fn_index": 0, "session_hash": "a-session"}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data?session_hash=a-session") as events:
        for line in events.iter_lines():
            event = json.loads(line.removeprefix("data:")) if line else {}
            if event.get("msg") == "process_completed":
                return json.dumps(event["output"])
    raise AssertionError


def test_users_of_the_page_share_no_file(running: Server, calls: Path) -> None:
    """The same recording of two users: that of one does not go with the request of the other."""
    name = "announcement.opus"
    form = {"files": (name, (calls / name).read_bytes())}
    with httpx.Client(base_url=running.address, timeout=60, headers=RIGHT) as client:
        uploaded = [client.post("/gradio_api/upload", files=form).json()[0] for _ in range(2)]
        for path in uploaded:
            assert "neutral" in asked(client, path)
    assert uploads(running) == []


def test_nothing_stays_of_an_upload_that_breaks_off(running: Server) -> None:
    port = int(running.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
            f"Authorization: Bearer {TOKEN}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        )
        client.sendall(head.encode() + bytes(100_000))
        until(lambda: uploads(running))
    until(lambda: not uploads(running))
    assert "Traceback" not in (running.folder / "log.txt").read_text()


def test_an_upload_to_the_page_states_its_length(running: Server) -> None:
    """All files of it together are bounded."""
    path = f"{running.address}/gradio_api/upload"
    answer = httpx.post(path, content=iter([b"--x"]), headers=RIGHT)
    assert answer.status_code == 411
    assert httpx.post(path, content=bytes(2_100_000), headers=RIGHT).status_code == 413


def test_the_interface_answers_in_its_own_form_beside_the_page(running: Server) -> None:
    with httpx.Client(base_url=running.address, timeout=60, headers=RIGHT) as client:
        answer = client.get("/predict")
        assert answer.json()["error"]["reason"] == "method_not_allowed"
        assert answer.headers["allow"] == "POST"
        assert (client.head("/health").status_code, client.head("/").status_code) == (200, 200)


def test_the_page_takes_no_name_of_another_file(running: Server, calls: Path) -> None:
    """Neither of this machine nor of another; by default a mounted Gradio copies them."""
    names = [str(calls / "announcement.opus"), str(running.folder / "log.txt"), "/etc/passwd"]
    with httpx.Client(base_url=running.address, timeout=60, headers=RIGHT) as client:
        for name in (*names, f"{running.address}/health", "../../log.txt"):
            for answer in (asked(client, name), asked(client, None, name)):
                assert "expected an upload" in answer, name
                assert "article" not in answer
        assert "not in the list of choices" in asked(client, None, None, "0,1")
        for path in (
            *("file=http://127.0.0.1:1/a.wav", "proxy=http://127.0.0.1:1/a", "process_recording"),
            *("run/score", "api/score", "call/score", "runs", "vibe-code", "openapi.json"),
        ):
            found = client.get(f"/gradio_api/{path}")
            assert (found.status_code, found.json()["error"]["reason"]) == (404, "not_found"), path
    assert uploads(running) == []


def test_uploads_that_nobody_scores_are_removed(
    tmp_path: Path, checkpoint_path: Path, calls: Path
) -> None:
    first = "from jobs.serve import page; page.CLEAN_S = 1"
    with server(tmp_path, "--model", checkpoint_path, first=first) as running:
        form = {"files": ("a.opus", (calls / "announcement.opus").read_bytes())}
        sent = httpx.post(f"{running.address}/gradio_api/upload", files=form, timeout=60)
        assert Path(sent.raise_for_status().json()[0]).name == "a.opus"
        until(lambda: not uploads(running))
