"""`batch-ser report`: from real recordings to the page, in a browser, and what is refused."""

import base64
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from browser import browser, emulate, errors, requested
from call_tables import ROLE_SETTING, drawn_calls, files_row, write_output
from conftest import Runner
from results import score
from telephone_call import AGENT, CUSTOMER, RATE_HZ, composed

from batch_ser.errors import MismatchError, UsageError
from batch_ser.report import is_page, make_page
from batch_ser.results import Output
from batch_ser.results.json_files import write_json
from jobs.calls import make_calls
from jobs.html_report import ReportOptions, make_report
from jobs.html_report.worth import worth_of
from models.loading import SHIPPED, digest_of

HOSTILE = "2026-11-02_<img src=x onerror=document.title='taken'>_&amp;.wav"
SCRIPT = "2026-11-03_</script><script>document.title='taken'</script>_6.wav"
MEMBER = f"calls.tar!/{SCRIPT}"
PATTERN = r"re:(?P<day>\d{4}-\d\d-\d\d)_(?P<queue>[^_]*)_"
ALARM = {"name": "<b>silence</b>", "message": "12 calls & more are silent"}


@pytest.fixture(scope="module")
def recordings(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls with a voice on each channel, with odd names, in a tar file, and one that is none."""
    folder = tmp_path_factory.mktemp("recordings")
    agent, customer = (composed(calls, parts)[0] for parts in (AGENT, CUSTOMER))
    names = ["2026-11-01_sales_1.wav", HOSTILE, "2026-11-02_sales_3.wav", "2026-11-03_sales_4.wav"]
    for number, name in enumerate(names):
        samples = np.stack([agent, customer * np.float32(1 - number / 5)], 1)
        soundfile.write(folder / name, samples, RATE_HZ)
    shutil.copy(folder / names[0], folder / "member.wav")
    with tarfile.open(folder / "calls.tar", "w") as archive:
        archive.add(folder / "member.wav", SCRIPT)
    (folder / "member.wav").unlink()
    (folder / "2026-11-03_sales_5.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def scored(
    recordings: Path, checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Their complete output, with an alarm in its record."""
    out = tmp_path_factory.mktemp("scored") / "out.parquet"
    score(
        recordings,
        out,
        checkpoint_path,
        roles=ROLE_SETTING,
        name_pattern=PATTERN,
        max_failed="1",
    )
    output = Output(str(out))
    record = output.complete_record()
    assert record
    write_json(output.folder, output.run_json, record | {"alarms": [ALARM]})
    return out


@pytest.fixture(scope="module")
def page(scored: Path, recordings: Path) -> Path:
    """The report, with clips of every call twice: as the loudest anger and by chance."""
    html = scored.with_name("report.html")
    report = make_report(str(scored), ReportOptions(str(html), str(recordings), ["queue"]))
    assert (report.calls, report.clips, report.notes) == (6, 10, ())
    return html


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(driver: Any, page: Path) -> Any:
    """The page, opened anew; it makes no request and the console stays empty, whatever is done."""
    emulate(driver)
    driver.get(page.as_uri())
    assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"
    yield driver
    assert errors(driver) == []
    assert requested(driver) <= {page.as_uri(), "data:audio/mpeg;base64"}
    assert driver.title == "Calls: out.parquet", "no name became a script"


def content_of(html: Path) -> dict[str, Any]:
    """The data in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html.read_text())
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def cells(driver: Any, column: int) -> list[str]:
    """The texts of a column of the table of calls."""
    script = "return [...document.querySelectorAll('table.calls tbody tr')].map((row) =>"
    found: list[str] = driver.execute_script(f"{script} row.children[{column}].textContent)")
    return found


def names(driver: Any) -> list[str]:
    script = "return [...document.querySelectorAll('table.calls .name')].map((e) => e.textContent)"
    found: list[str] = driver.execute_script(script)
    return found


def wait(driver: Any, condition: str) -> None:
    """Until an expression holds in the page."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 30).until(lambda each: each.execute_script(f"return {condition}"))


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def test_names_are_text_and_alarms_come_first(opened: Any) -> None:
    assert {HOSTILE, MEMBER} <= set(names(opened))
    assert (
        opened.execute_script("return document.querySelectorAll('main img, main b img').length")
        == 0
    )
    shown = opened.find_element("id", "archive").text
    assert re.search(r"\d (s|min) scored", shown), "less than an hour is no 0.0 h"
    assert not re.search(r"\b0\.0 h\b", shown)
    [alarm] = opened.execute_script(
        "return [...document.querySelectorAll('.alarm')].map((e) => e.textContent)"
    )
    assert alarm == f"{ALARM['name']} {ALARM['message']}"
    above = "document.querySelector('.alarm').compareDocumentPosition"
    assert opened.execute_script(f"return {above}(document.querySelector('section')) & 4") == 4


def test_calls_are_ordered_by_the_anger_peak_of_the_customer(opened: Any, scored: Path) -> None:
    table = pd.read_parquet(scored.with_suffix(".calls.parquet"))
    table = table.sort_values("anger_peak_customer", ascending=False)
    peaks = table.set_index("file")["anger_peak_customer"]
    np.testing.assert_array_equal(peaks[names(opened)], peaks)
    shown = [float(each.removesuffix("\xa0%")) / 100 for each in cells(opened, 1)[:-1]]
    assert shown == pytest.approx(table["anger_peak_customer"][:-1].tolist(), abs=0.006)
    assert cells(opened, 1)[-1] == "–", "of the file that failed"


def test_sorts_by_a_click_and_by_the_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    heads = "[...document.querySelectorAll('table.calls th')]"
    number = opened.execute_script(f"return {heads}.findIndex((e) => e.textContent === 'day')")
    opened.execute_script(f"{heads}[{number}].firstChild.click()")
    days = cells(opened, number)
    assert days == sorted(days)
    assert len(set(days)) == 3
    opened.execute_script(f"{heads}[{number}].firstChild.focus()")
    press(opened, Keys.ENTER)
    assert cells(opened, number) == sorted(days, reverse=True)
    state = opened.execute_script(f"return {heads}[{number}].getAttribute('aria-sort')")
    assert state == "descending"


def test_filters(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    opened.find_element("id", "search").send_keys("onerror WAV")
    assert names(opened) == [HOSTILE]
    press(opened, *[Keys.BACKSPACE] * len("onerror WAV"))
    assert len(names(opened)) == 6
    queues = Select(opened.find_element("css selector", "select[data-column=queue]"))
    queues.select_by_visible_text("sales")
    assert all("_sales_" in name for name in names(opened))
    assert len(names(opened)) == 4
    Select(opened.find_element("id", "only")).select_by_visible_text("failed")
    assert names(opened) == ["2026-11-03_sales_5.wav"]
    state = opened.find_element("css selector", "#calls [role=status]").text
    assert state == "1 to 1 of 1 that fit, of 6 recordings"


def test_a_call_opens_by_the_keyboard_and_its_clip_plays(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.execute_script("document.querySelector('table.calls .name').focus()")
    press(opened, Keys.ENTER)
    wait(opened, "document.querySelector('dialog[open] rect.segment')")
    first = names(opened)[0]
    assert opened.find_element("id", "call-name").text == first
    text = opened.find_element("id", "call").text
    for expected in ("quarter 1", "loudest anger", "silence", "decide nothing", "negative time"):
        assert expected in text, expected
    before = opened.execute_script("return document.getElementById('player').src")
    assert before == ""
    opened.find_element("css selector", "dialog rect[data-plays]").send_keys(Keys.ENTER)
    wait(opened, "document.getElementById('player').currentTime > 0.2")
    state = opened.execute_script(
        "const p = document.getElementById('player'); return [p.error, p.duration]"
    )
    assert state[0] is None
    assert 1.4 < state[1] < 8.2
    press(opened, Keys.ESCAPE)
    wait(opened, "!document.querySelector('dialog[open]')")
    assert opened.execute_script("return document.getElementById('player').paused")
    opened.execute_script("document.querySelector('table.calls tbody tr').click()")
    press(opened, Keys.ARROW_RIGHT)
    assert opened.find_element("id", "call-name").text == names(opened)[1]


def test_every_clip_can_be_played(opened: Any) -> None:
    """Each by its own button, one at a time."""
    buttons = opened.execute_script("return document.querySelectorAll('main .play').length")
    assert buttons == 10
    durations = []
    for number in range(buttons):
        opened.execute_script(f"document.querySelectorAll('main .play')[{number}].click()")
        wait(opened, "document.getElementById('player').readyState >= 2")
        durations.append(opened.execute_script("return document.getElementById('player').duration"))
        pressed = "document.querySelectorAll('.play[aria-pressed=true]').length"
        assert opened.execute_script(f"return {pressed}") == 1
    assert all(1.4 < each < 8.2 for each in durations)


def test_light_dark_narrow_and_print(opened: Any) -> None:
    def colour(name: str, of: str = "body") -> str:
        script = f"return getComputedStyle(document.querySelector('{of}')).{name}"
        return str(opened.execute_script(script))

    def is_light() -> bool:
        """Whether what is below the text is lighter than it."""
        page, text = (re.findall(r"\d+", colour(name)) for name in ("backgroundColor", "color"))
        return sum(map(int, page)) > sum(map(int, text))

    assert is_light()
    emulate(opened, scheme="dark")
    assert not is_light()
    emulate(opened, width=400)
    wide = opened.execute_script("return document.documentElement.scrollWidth")
    assert wide <= 400, "only tables scroll to the side"
    emulate(opened, scheme="dark", media="print")
    assert colour("backgroundColor") == "rgb(255, 255, 255)"
    assert colour("display", ".controls") == "none"
    assert colour("display", "#worth-of-page") == "block", "on every page"
    pdf = opened.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(pdf).startswith(b"%PDF")


def test_figures_are_those_of_the_tables(page: Path, scored: Path) -> None:
    content = content_of(page)
    calls = pd.read_parquet(scored.with_suffix(".calls.parquet")).set_index("file")
    groups = pd.read_parquet(scored.with_suffix(".groups.parquet"))
    assert content["files"] == {"ok": 5, "failed": 1, "in": 6}
    assert content["reasons"] == [["unsupported", 1]]
    assert content["parties"] == ["agent", "customer"]
    found = content["calls"]["parties"][1]
    for number, name in enumerate(content["calls"]["file"]):
        expected = calls.loc[name, "emotion_overall_score_customer"]
        value = found["emotion_overall_score"][number]
        assert (np.nan if value is None else value) == pytest.approx(
            expected, abs=0.006, nan_ok=True
        )
    assert content["groups"]["keys"] == [[each] for each in groups["queue"]]
    mine = content["groups"]["parties"][1]
    for ending in ("", "_low", "_high"):
        name = f"emotion_overall_score{ending}"
        expected = groups[f"emotion_overall_score_customer{ending}"].tolist()
        assert [np.nan if each is None else each for each in mine[name]] == pytest.approx(
            expected, abs=1e-3, nan_ok=True
        )
    by_day = calls[calls["status"] == "ok"].groupby("day")["emotion_overall_score_customer"].mean()
    assert content["days"]["days"] == by_day.index.tolist()
    assert content["days"]["parties"][1]["mean"] == pytest.approx(by_day.tolist(), abs=1e-3)
    for each in content["shares"]:
        assert sum(each["shares"]) == pytest.approx(1, abs=1e-3)


def test_clips_are_what_the_recordings_have(page: Path, scored: Path, recordings: Path) -> None:
    """The right channel and times, of files and of members of archives; the strongest first."""
    content = content_of(page)
    calls = pd.read_parquet(scored.with_suffix(".calls.parquet"))
    loudest = calls.nlargest(5, "anger_peak_customer")
    clips = [(content["calls"]["file"][each["call"]], each) for each in content["clips"]]
    peaks = calls.set_index("file")["anger_peak_customer"]
    assert [peaks[name] for name, _ in clips[:5]] == loudest["anger_peak_customer"].tolist()
    assert [name for name, _ in clips[5:]] == sorted(loudest["file"])
    starts_s = loudest["anger_peak_start_s_customer"]
    for clip, start_s in zip(content["clips"][:5], starts_s, strict=True):
        assert clip["start_s"] == pytest.approx(start_s, abs=0.06)
    kinds = [clip["kind"] for clip in content["clips"]]
    assert kinds == ["strongest"] * 5 + ["control"] * 5
    with tarfile.open(recordings / "calls.tar") as archive:
        member = archive.extractfile(SCRIPT)
        assert member
        inside = member.read()
    for name, clip in clips:
        source = io.BytesIO(inside) if name == MEMBER else recordings / name
        call, _ = soundfile.read(source, dtype="float32")
        start, end = (round(clip[each] * RATE_HZ) for each in ("start_s", "end_s"))
        data = base64.b64decode(clip["audio"])
        assert len(data) < 8 * 3_200
        played, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
        assert played.ndim == 1
        louder = [_level(call[start:end, number]) for number in (0, 1)]
        assert clip["party"] == "customer"
        assert _level(played) == pytest.approx(louder[1], rel=0.25), (name, louder)
        assert len(played) / rate_hz == pytest.approx(min(8, (end - start) / RATE_HZ), abs=0.2)


def _level(samples: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_without_audio_there_are_no_clips(scored: Path, tmp_path: Path, batch_ser: Runner) -> None:
    done = batch_ser("report", scored, "--html", tmp_path / "a.html", "--clips", "2")
    assert done.returncode == 0, done.stderr
    assert "6 calls, 0 clips" in done.stdout
    content = content_of(tmp_path / "a.html")
    assert [clip["audio"] for clip in content["clips"]] == [None] * 4
    assert [clip["missing"] for clip in content["clips"]] == [None] * 4
    assert not content["has_audio"]


def test_recordings_that_cannot_be_read_leave_the_report_whole(
    scored: Path, recordings: Path, tmp_path: Path
) -> None:
    """Missing, changed, and behind a link that leads out of the folder."""
    root, html = tmp_path / "root", tmp_path / "a.html"
    root.mkdir()
    for name in ("2026-11-01_sales_1.wav", "2026-11-02_sales_3.wav", "calls.tar"):
        shutil.copy(recordings / name, root / name)
    with (root / "2026-11-02_sales_3.wav").open("ab") as file:
        file.write(b"\0")
    (root / "2026-11-03_sales_4.wav").symlink_to(recordings / "2026-11-03_sales_4.wav")
    report = make_report(str(scored), ReportOptions(str(html), str(root)))
    assert report.clips == 4
    assert report.notes == ("6 clips are missing; the report states why",)
    content = content_of(html)
    missing = {content["calls"]["file"][clip["call"]]: clip["missing"] for clip in content["clips"]}
    assert missing["2026-11-01_sales_1.wav"] is None
    assert missing[MEMBER] is None
    assert missing[HOSTILE] == f"not_found: there is no such file: {HOSTILE}"
    assert missing["2026-11-02_sales_3.wav"].startswith("fetch_failed: another file than the one")
    outside = "outside_root: it is outside of --audio: a link leads there"
    assert missing["2026-11-03_sales_4.wav"] == outside
    assert str(tmp_path) not in html.read_text(), "where the recordings are is not passed on"


def test_only_own_files_are_overwritten(scored: Path, tmp_path: Path, batch_ser: Runner) -> None:
    html = tmp_path / "a.html"
    html.write_text("<html>mine</html>")
    done = batch_ser("report", scored, "--html", html)
    assert done.returncode == 2
    assert "a.html exists and is not a report of batch-ser" in done.stderr
    assert html.read_text() == "<html>mine</html>"
    html.unlink()
    options = ReportOptions(str(html), clips=0)
    make_report(str(scored), options)
    make_report(str(scored), options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"], "nothing else is left"


@pytest.mark.parametrize(("place", "why"), [("mine", "expected a folder"), ("/proc", "No such")])
def test_a_report_that_cannot_be_written_is_named(
    place: str, why: str, scored: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    (tmp_path / "mine").write_text("a file")
    html = tmp_path / place / "a.html"
    done = batch_ser("report", scored, "--html", html, "--clips", "0")
    assert done.returncode == 1
    assert f"--html {html}: it cannot be written there: {why}" in done.stderr
    assert "choose another place" in done.stderr
    assert str(scored) not in done.stderr, "nothing is wrong with the output"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"html": "a.txt"}, "expected a name that ends in .html"),
        ({"html": "https://x/a.html"}, "found a web address"),
        ({"html": "a.html", "clips": 999}, "--clips 999: expected 0 to 200"),
        ({"html": "a.html", "audio": "missing"}, "--audio missing: found nothing, expected"),
        ({"html": "a.html", "by": ["agent"]}, "--by agent: expected columns of the output"),
    ],
)
def test_mistakes_are_refused(
    options: dict[str, Any],
    message: str,
    scored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(message)):
        make_report(str(scored), ReportOptions(**options))
    assert not list(tmp_path.iterdir())


def test_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="no output of batch-ser"):
        make_report(str(tmp_path / "out.parquet"), ReportOptions(str(tmp_path / "a.html")))


def test_tables_of_calls_are_made_only_if_they_do_not_fit(tmp_path: Path) -> None:
    """They keep the labels, and the columns if none are asked for."""
    out, html = tmp_path / "out.parquet", tmp_path / "a.html"
    write_output(out, *drawn_calls(8), columns=("queue",), roles=ROLE_SETTING)
    table = tmp_path / "out.groups.parquet"
    make_calls(str(out), ["queue"], negative="angry")
    made = table.stat().st_ino
    make_report(str(out), ReportOptions(str(html)))
    assert table.stat().st_ino == made
    assert content_of(html)["groups"]["by"] == ["queue"]
    make_report(str(out), ReportOptions(str(html), by=[]))
    assert table.stat().st_ino != made
    assert content_of(html)["groups"]["by"] == []
    assert content_of(html)["negative"] == ["angry"]
    assert json.loads(pq.read_schema(table).metadata[b"by"]) == []
    write_output(out, *drawn_calls(9), columns=("queue",), roles=ROLE_SETTING)  # now they are stale
    assert make_report(str(out), ReportOptions(str(html))).calls == 10


def show(driver: Any, out: Path, **options: Any) -> dict[str, Any]:
    """Make a report of an output, open it, and return its data; the console stays empty."""
    html = out.with_name("shown.html")
    make_report(str(out), ReportOptions(str(html), **options))
    emulate(driver)
    driver.get(html.as_uri())
    assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"
    content = content_of(html)
    if content["calls"]["file"]:
        driver.execute_script("document.querySelector('table.calls .name').click()")
        assert driver.find_element("id", "call-name").text == names(driver)[0]
    assert errors(driver) == []
    return content


def test_without_roles_a_call_counts_by_its_angriest_party(driver: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    files, segments, speech = drawn_calls(12)
    for row in (*segments, *speech):
        row["role"] = None
    write_output(out, files, segments, speech, columns=("queue",))
    content = show(driver, out)
    assert content["focus"] == ["ch0", "ch1"]
    calls = pd.read_parquet(tmp_path / "out.calls.parquet").set_index("file")
    peaks = calls[["anger_peak_ch0", "anger_peak_ch1"]]
    expected = peaks.max(axis=1).sort_values(ascending=False)
    assert names(driver) == expected.index.tolist()
    parties = peaks.loc[expected.index[:-1]].idxmax(axis=1).str[-3:].tolist()
    assert cells(driver, 1)[:-1] == parties
    assert content["no_days"].startswith("No column states the day of each call")
    drawn = {
        (content["calls"]["file"][each["call"]], each["party"])
        for each in content["clips"]
        if each["kind"] == "control"
    }
    both = {file: peaks.loc[file].idxmax()[-3:] for file in peaks.dropna().index}
    worst = {(file, party) for file, party in drawn if both.get(file) == party}
    assert len(both) > 6
    assert 0 < len(worst) < len(both), "drawn, whichever party is angrier"
    again = show(driver, out)
    assert again["clips"] == content["clips"], "the draw is the same each time"


def test_of_a_party_that_was_not_scored_no_emotion_is_shown(driver: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    files, segments, speech = drawn_calls(5)
    mine = [row for row in segments if row["channel"] == 1]
    write_output(out, files, mine, speech, ("queue",), roles=ROLE_SETTING, score="customer")
    content = show(driver, out)
    assert [each["party"] for each in content["shares"]] == ["customer"]
    assert {clip["party"] for clip in content["clips"]} == {"customer"}
    for line in content["lines"].values():
        assert set(json.loads(line)["segments"]) <= {"customer"}
        assert set(json.loads(line)["speech"]) == {"agent", "customer"}
    text = driver.find_element("id", "call").text
    assert "Only customer was scored (--score): no emotion of others is computed." in text


def test_a_page_is_bounded(driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many calls it has those with the highest anger peak, and says so."""
    monkeypatch.setattr("jobs.html_report.tables.MOST_CALLS", 6)
    monkeypatch.setattr("jobs.html_report.call_details.MOST_LINES", 3)
    out = tmp_path / "out.parquet"
    write_output(out, *drawn_calls(30), columns=("queue",), roles=ROLE_SETTING)
    content = show(driver, out, clips=1)
    assert len(content["calls"]["file"]) == 6
    assert content["calls_in_all"] == 31
    assert 3 <= len(content["lines"]) <= 5
    text = driver.execute_script("return document.getElementById('calls').textContent")
    assert "This page has 6 of 31 recordings: those with the highest anger peak" in text
    calls = pd.read_parquet(tmp_path / "out.calls.parquet")
    worst = calls.nlargest(4, "anger_peak_customer")["file"]
    assert set(worst) <= set(content["calls"]["file"])


@pytest.fixture(scope="module")
def by_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of composed calls: 30 on the first day, then 4, 1 and 5."""
    out = tmp_path_factory.mktemp("by_day") / "out.parquet"
    files, segments, speech = drawn_calls(40)
    for row in segments:
        number = int(row["file"][4:6])
        row["day"] = f"2026-11-0{1 + sum(number >= first for first in (30, 34, 35))}"
    write_output(out, files, segments, speech, ("queue", "day"), roles=ROLE_SETTING)
    make_report(str(out), ReportOptions(str(out.with_name("a.html"))))
    return out.with_name("a.html")


def open_page(driver: Any, html: Path, width: int = 1300) -> dict[str, Any]:
    """Its data."""
    emulate(driver, width=width)
    driver.get(html.as_uri())
    assert driver.execute_script("return document.documentElement.dataset.ready") == "yes"
    return content_of(html)


def test_days_of_few_calls_are_marked_and_no_band_crosses_one_without_an_interval(
    driver: Any, by_day: Path
) -> None:
    days = open_page(driver, by_day)["days"]
    assert days["calls"] == [30, 4, 1, 5]
    assert days["few_calls"] == [False, True, True, True]
    means = [mean for each in days["parties"] for mean in each["mean"]]
    shown = [few for few, mean in zip(days["few_calls"] * 2, means, strict=True) if mean]
    low = [each["low"] for each in days["parties"]]
    assert all([each is None for each in mine] == [False, False, True, False] for mine in low)
    wait(driver, "document.querySelectorAll('.chart circle').length")
    chart = "document.querySelector('.chart circle').closest('svg')"
    script = f"return [...{chart}.querySelectorAll('polygon')].map((e) => e.points.length)"
    assert driver.execute_script(script) == [4, 4], "of the first two days, for each party"
    script = (
        f"return [...{chart}.querySelectorAll('line[opacity]')].map((e) => e.getAttribute('x1'))"
    )
    last = f"return {chart}.querySelectorAll('circle')[{len(shown) - 1}].getAttribute('cx')"
    assert driver.execute_script(script) == [driver.execute_script(last)] * 2
    script = f"return [...{chart}.querySelectorAll('circle')].map((e) => e.matches('.few'))"
    assert driver.execute_script(script) == shown
    legend = driver.find_element("css selector", ".few-calls").text
    assert legend.startswith("fewer than 30 calls")


def test_bars_of_quarters_have_one_scale_in_all_calls(driver: Any, by_day: Path) -> None:
    content = open_page(driver, by_day)
    reach = max(
        abs(each or 0)
        for columns in content["calls"]["parties"]
        for number in range(1, 5)
        for each in columns[f"emotion_q{number}_score"]
    )
    script = """
        return [...document.querySelectorAll('dialog .chart')].flatMap((chart) => {
          const words = chart.firstChild.getAttribute('aria-label');
          return [...words.matchAll(/quarter . ([−+]?[\\d.]+|–)/g)].map(([, score], at) =>
            [score.replace('−', '-'), chart.querySelectorAll('rect')[at].getAttribute('height')]);
        })"""
    driver.execute_script("document.querySelector('table.calls .name').click()")
    found = []
    for _ in range(3):
        wait(driver, "[...document.querySelectorAll('dialog .chart')].every((e) => e.firstChild)")
        found += [each for each in driver.execute_script(script) if each[0] != "–"]
        driver.execute_script("[...document.querySelectorAll('dialog button')][1].click()")
    assert len(found) > 12
    for value, height in found:
        assert float(height) == pytest.approx(max(1.5, abs(float(value)) / reach * 28), abs=0.1)


@pytest.mark.parametrize("width", [1300, 400])
def test_labels_of_lanes_do_not_overlap(driver: Any, by_day: Path, width: int) -> None:
    open_page(driver, by_day, width)
    driver.execute_script("document.querySelector('table.calls .name').click()")
    wait(driver, "document.querySelector('dialog rect.segment')")
    labels = "[...document.querySelectorAll('.labels > span')]"
    texts = driver.execute_script(f"return {labels}.map((e) => e.textContent)")
    assert {"customer speaks", "silence over 3 s"} <= set(texts)
    script = f"return {labels}.map((e) => [e.offsetTop, e.offsetTop + e.scrollHeight])"
    places = driver.execute_script(script)
    assert all(one[1] <= other[0] + 1 for one, other in pairwise(places)), places


def test_the_table_of_calls_fits_a_wide_page(driver: Any, by_day: Path) -> None:
    open_page(driver, by_day)
    script = "const e = document.querySelector('table.calls'); return e.offsetWidth"
    assert driver.execute_script(f"{script} <= e.parentElement.clientWidth")
    widths = driver.execute_script(
        "return [...document.querySelectorAll('table.calls th')].map((e) => e.offsetWidth)"
    )
    assert widths[0] == max(widths), "names have the width"
    assert widths[1] < 100


def test_every_segment_can_be_reached_by_the_keyboard(driver: Any, by_day: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    content = open_page(driver, by_day)
    first = next(at for at, line in content["lines"].items() if _segments_of_all(line) > 4)
    row = content["calls"]["file"][int(first)]
    driver.find_element("id", "search").send_keys(row)
    driver.execute_script("document.querySelector('table.calls .name').click()")
    wait(driver, "document.querySelector('dialog rect.segment')")
    script, texts = "return document.querySelector('.chosen-text').textContent", []
    lanes = len([each for each in json.loads(content["lines"][first])["segments"].values() if each])
    for lane in range(lanes):
        driver.execute_script(
            f"[...document.querySelectorAll('dialog rect.segment[tabindex=\"0\"]')][{lane}].focus()"
        )
        while not texts or driver.execute_script(script) != texts[-1]:
            texts.append(driver.execute_script(script))
            press(driver, Keys.ARROW_RIGHT)
    assert len(set(texts)) == _segments_of_all(content["lines"][first])
    assert all("negative" in each for each in texts)
    assert driver.find_element("id", "call-name").text == row, "arrows do not leave the call"


def _segments_of_all(line: str) -> int:
    return sum(len(each) // 6 for each in json.loads(line)["segments"].values())


def test_of_overlapping_segments_the_one_with_the_clip_plays(
    driver: Any, page: Path, tmp_path: Path
) -> None:
    content = content_of(page)
    clip = next(each for each in content["clips"] if each["call"] == 0)
    content["clips"] = [clip | {"place": 2, "start_s": 2.0, "end_s": 5.0}]
    line = json.loads(content["lines"]["0"])
    for party in line["segments"]:
        line["segments"][party] = [n for at in range(18, 23) for n in (at, 30, 0, 60, 10, 5)]
    content["lines"]["0"] = json.dumps(line)
    for columns in content["calls"]["parties"]:
        columns["anger_peak_start_s"][0], columns["anger_peak_end_s"][0] = 2.1, 5.1
    (tmp_path / "a.html").write_bytes(make_page("a", content))
    open_page(driver, tmp_path / "a.html")
    driver.execute_script("document.querySelector('table.calls .name').click()")
    wait(driver, "document.querySelector('dialog rect.segment')")
    script = (
        "return [...document.querySelectorAll('dialog rect.segment')].map((e) => e.dataset.plays)"
    )
    plays = driver.execute_script(script)
    lanes = [plays[at : at + 5] for at in range(0, len(plays), 5)]
    assert sorted(lanes, key=str) == [[None, None, "0", None, None], [None] * 5]
    peaks = driver.execute_script("return document.querySelectorAll('dialog path.peak').length")
    assert peaks == 3, "of the clip, and of the loudest anger of each party"


def test_nothing_to_show(driver: Any, tmp_path: Path) -> None:
    """No recording at all, and one without speech."""
    out = tmp_path / "out.parquet"
    write_output(out, [], [], [], columns=("queue",))
    assert show(driver, out)["calls"]["file"] == []
    write_output(out, [files_row([], status="empty")], [], [], columns=("queue",))
    assert show(driver, out)["shares"] == []


def test_in_an_object_store(scored: Path, recordings: Path, bucket: str) -> None:
    """Output, recordings and report are there; what is no report is not replaced."""
    local, there = Output(str(scored)), Output(f"{bucket}/out.parquet")
    for name in [*local.complete_record()["tables"], local.run_json]:
        there.folder.write(name, (scored.parent / name).read_bytes())
    for name in ("2026-11-01_sales_1.wav", "calls.tar"):
        there.folder.write(f"calls/{name}", (recordings / name).read_bytes())
    options = ReportOptions(f"{bucket}/reports/a.html", f"{bucket}/calls", ["queue"])
    assert make_report(there.out, options).clips == 4
    assert is_page(there.folder.read("reports/a.html"))
    make_report(there.out, options)
    there.folder.write("reports/a.html", b"mine")
    with pytest.raises(MismatchError, match="is not a report of batch-ser"):
        make_report(there.out, options)


@pytest.mark.parametrize("adapt", ["archive", "recording", "day"])
def test_what_was_subtracted_is_not_compared(adapt: str, tmp_path: Path) -> None:
    out, html = tmp_path / "out.parquet", tmp_path / "a.html"
    files, segments, speech = drawn_calls(6)
    for row in segments:
        row["day"] = f"2026-11-0{1 + int(row['file'][4:6]) % 3}"
    write_output(out, files, segments, speech, ("queue", "day"), roles=ROLE_SETTING, adapt=adapt)
    make_report(str(out), ReportOptions(str(html)))
    content = content_of(html)
    assert (content["days"] is None) == (adapt == "day")
    assert (content["no_days"] or "").startswith("The mean of each day") == (adapt == "day")
    caution = f"The mean of each {adapt} was subtracted (--adapt {adapt})"
    found = [each for each in content["cautions"] if each.startswith(caution)]
    assert len(content["cautions"]) == len(found) == (adapt != "archive")


@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_what_figures_are_worth_is_from_the_card(name: str, scored: Path) -> None:
    record = Output(str(scored)).run_record()
    assert record
    assert "not at hand" in worth_of(record)[0], "a checkpoint without a card"
    path = SHIPPED / f"{name}.safetensors"
    checkpoint = replace(record.checkpoint, name=name, sha256=digest_of(path))
    purpose, figures = worth_of(replace(record, checkpoint=checkpoint))
    card = " ".join(path.with_suffix(".md").read_text().split())
    assert purpose in card
    assert "not whether it is felt" in purpose
    [uar] = re.findall(r"UAR ([\d.]+ %) \(mean of corpora left out, by archive\)", figures)
    assert f"| mean of corpora left out, by archive | {uar} |" in card
