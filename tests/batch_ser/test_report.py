"""The parts of a report: which calls it shows, days, shares, time lines, clips, and the page."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from call_tables import (
    LABELS,
    ROLES,
    SCHEMAS,
    SEGMENTS,
    SPEECH,
    files_row,
    segment_rows,
    speech_rows,
)
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.audio import Reading
from batch_ser.calls import CallTable, Channels, EmotionScale
from batch_ser.errors import FileError, Reason
from batch_ser.report import (
    CallColumns,
    ChosenCalls,
    EmotionShares,
    Window,
    cut,
    day_of,
    encode,
    find_day_column,
    is_page,
    make_page,
    time_line,
)

PARTIES = ("agent", "customer")
TABLE = CallTable(EmotionScale.of(LABELS), PARTIES, (), Channels(roles=ROLES))


def call(number: int, negative_s: float | None, peak: float | None = None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TABLE.schema.names)
    values = {"negative_time_customer_s": negative_s, "anger_peak_customer": peak}
    return row | values | {"file": f"{number:05}.wav", "status": "ok"}


def chosen(rows: list[dict[str, Any]], most: int, samples: int) -> ChosenCalls:
    found = ChosenCalls(["customer"], most, samples)
    for row in rows:
        found.add(row)
    return found


def test_the_angriest_calls_are_kept_and_the_samples_besides() -> None:
    draw = np.random.default_rng(1)
    seconds, peaks = draw.permutation(500) / 2.0, draw.permutation(500) / 500.0
    rows = [call(n, s, p) for n, (s, p) in enumerate(zip(seconds, peaks, strict=True))]
    found = chosen([*rows, call(500, None)], most=50, samples=5)
    assert found.count == 501
    names = [row["file"] for row in found.rows]
    assert len(set(names)) == len(names) == 50
    shown = [row["anger_peak_customer"] for row in found.rows]
    assert shown == sorted(shown, reverse=True)
    loudest = sorted(rows, key=lambda row: -row["anger_peak_customer"])[:5]
    assert found.samples["strongest"] == [row["file"] for row in loudest]
    samples = {*found.samples["strongest"], *found.samples["control"]}
    assert samples < set(names)
    worst = sorted(rows, key=lambda row: -row["anger_peak_customer"])
    assert [row["file"] for row in worst[: 50 - len(samples)]] == [
        name for name in names if name in {row["file"] for row in worst[:50]}
    ][: 50 - len(samples)]


def test_few_calls_are_all_kept_those_without_scores_last() -> None:
    found = chosen([call(0, None), call(1, 2.0, 0.1), call(2, 7.0)], most=10, samples=4)
    assert [row["file"] for row in found.rows] == ["00001.wav", "00002.wav", "00000.wav"]
    assert found.samples["control"] == ["00001.wav", "00002.wav"]
    assert chosen([call(1, 2.0)], most=10, samples=0).samples["strongest"] == []


def test_without_the_label_angry_calls_are_ordered_by_negative_time() -> None:
    found = chosen([call(0, None), call(1, 2.0), call(2, 7.0)], most=10, samples=1)
    assert [row["file"] for row in found.rows] == ["00002.wav", "00001.wav", "00000.wav"]
    assert found.samples["strongest"] == ["00002.wav"]


def test_every_call_is_drawn_as_often_as_any_other() -> None:
    drawn: Counter[str] = Counter()
    for shift in range(300):  # the seed is fixed: the same draw of other calls
        rows = [call((number + shift) % 40, 1.0) for number in range(40)]
        drawn.update(chosen(rows, most=40, samples=10).samples["control"])
    assert len(drawn) == 40
    assert max(drawn.values()) < 3 * min(drawn.values())
    same = [chosen([call(n, 1.0) for n in range(40)], 40, 10).samples for _ in range(2)]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29", "2026-11-29"),
        ("20261129", "2026-11-29"),
        (" 2026-11-29T23:59:01 ", "2026-11-29"),
        ("2026-13-01", None),
        ("12345678", None),  # a number
        ("sales", None),
        ("", None),
        (None, None),
    ],
)
def test_days(text: str | None, expected: str | None) -> None:
    found = day_of(text)
    assert (found and found.isoformat()) == expected


def test_the_column_of_days() -> None:
    rows = [
        {"queue": "a", "made": "20261129", "day": "2026-11-29", "one": "2026-11-29"},
        {"queue": "b", "made": "20261130", "day": None, "one": "2026-11-29"},
        {"queue": "a", "made": "20261130", "day": "2026-11-30", "one": "2026-11-29"},
    ]
    columns = ["queue", "made", "day", "one"]
    assert find_day_column(rows, columns) == "day"
    assert find_day_column(rows, columns, first=["made"]) == "made"
    assert find_day_column(rows, ["queue", "one"]) is None, "one day is no trend"
    assert find_day_column([], columns) is None


def test_shares_are_means_weighted_by_seconds() -> None:
    shares = EmotionShares(PARTIES, LABELS)
    for seconds, p in ((10.0, (1.0, 0.0, 0.0, 0.0)), (30.0, (0.0, 0.0, 1.0, 0.0))):
        row = call(0, 1.0) | {"scored_customer_s": seconds, "talk_time_customer_s": 2 * seconds}
        row |= {f"p_{name}_customer": each for name, each in zip(LABELS, p, strict=True)}
        shares.add(row | {"coverage_customer": 0.5})
    [found] = shares.content()
    assert found == {
        "party": "customer",
        "scored_s": 40,
        "coverage": 0.5,
        "shares": [0.25, 0, 0.75, 0],
    }


def test_long_values_and_many_columns_are_cut() -> None:
    carried = [f"c{number:02}" for number in range(30)]
    columns = CallColumns((), (), carried, first=["c29"])
    assert columns.shown == ["c29", *carried[:8]]
    assert columns.left_out == 21
    row: dict[str, Any] = dict.fromkeys(columns.names, 1.0) | dict.fromkeys(carried, "x" * 5_000)
    assert max(len(each) for [each] in columns.content([row])["carried"]) == 120


def test_a_time_line_has_what_the_tables_have() -> None:
    speech, segments = speech_rows(SPEECH), segment_rows(SEGMENTS)
    tables = (
        pa.Table.from_pylist(rows, schema=schema)
        for rows, schema in ((segments, SCHEMAS.segments), (speech, SCHEMAS.speech))
    )
    file = files_row(speech)
    found = time_line(file, *tables, TABLE)
    assert found["length"] == 600
    assert found["speech"]["agent"] == [5, 60, 120, 20, 200, 4, 290, 40]
    assert found["speech"]["customer"] == [60, 40, 180, 120], "without crosstalk"
    assert found["interruptions"] == {"agent": [290, 10], "customer": []}
    assert found["silence"] == [140, 40]
    assert found["segments"]["agent"][:6] == [5, 60, 0, 60, 0, 0]
    assert found["segments"]["customer"][6:12] == [180, 60, 2, 70, 80, 70]
    assert len(found["segments"]["customer"]) == 3 * 6, "without crosstalk"
    alone = time_line(file | {"speech_s": None}, None, None, TABLE)
    assert alone == {"length": 600, "segments": {}}


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_no_text_leaves_the_data_of_a_page(name: str, values: dict[str, str]) -> None:
    page = make_page(name, {"values": values})
    assert is_page(page)
    text = page.decode()
    assert text.count("<script") == text.count("</script>") == 2
    begin = text.index('id="data">') + len('id="data">')
    data = text[begin : text.index("</script>", begin)]
    assert "<" not in data
    replaced = {k.encode(errors="replace").decode(): v for k, v in values.items()}
    assert set(json.loads(data)["values"]) == set(replaced)


def test_a_page_loads_nothing() -> None:
    page = make_page("a", {}).decode()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "innerHTML" not in page
    assert not is_page(b"<!DOCTYPE html>\n<html>")


def test_a_page_holds_no_number_that_is_none() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_page("a", {"value": float("nan")})


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Two channels with another tone in every second, 10 s, 8 kHz."""
    at = np.arange(80_000) / 8_000
    channels = [np.sin(2 * np.pi * (first + 100 * at.astype(int)) * at) / 4 for first in (300, 450)]
    soundfile.write(tmp_path / "a.wav", np.stack(channels, 1), 8_000)
    return tmp_path / "a.wav"


def pitch_hz(samples: np.ndarray[Any, Any], rate_hz: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


@pytest.mark.parametrize("second", [0, 4, 9])
def test_a_clip_has_the_right_samples(tones: Path, second: int) -> None:
    windows = [Window(1, second, second + 1), Window(0, second, second + 1)]
    for samples, first in zip(cut(str(tones), Reading(), windows), (450, 300), strict=True):
        played, rate_hz = soundfile.read(io.BytesIO(encode(samples)))
        assert len(played) / rate_hz == pytest.approx(1, abs=0.2)
        assert pitch_hz(played, rate_hz) == pytest.approx(first + 100 * second, abs=3)


def test_long_segments_are_cut_and_missing_ones_refused(tones: Path) -> None:
    [samples] = cut(str(tones), Reading(), [Window(-1, 0.0, 100.0)])
    assert len(samples) == 8 * 16_000
    with pytest.raises(FileError) as error:
        cut(str(tones), Reading(), [Window(0, 20.0, 22.0)])
    assert error.value.reason is Reason.BAD_SEGMENT
    with pytest.raises(FileError) as error:
        cut(str(tones), Reading(), [Window(2, 0.0, 2.0)])
    assert error.value.reason is Reason.BAD_CHANNELS
