"""The table of calls: every column against a call composed by hand, SQL, and what always holds."""

import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from call_tables import (
    LABELS,
    ROLES,
    SCHEMAS,
    SEGMENTS,
    SPEECH,
    call_row,
    segment_rows,
    speech_rows,
)
from documents import read, rows
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.calls import CallGroups, CallTable, Channels, EmotionScale, in_order, party_of
from batch_ser.calls.emotion import trend_class
from batch_ser.calls.spreadsheet import FORMULA, plain_cell, safe_cell
from batch_ser.errors import UsageError
from batch_ser.results import NamePattern

H = -0.6 * math.log(0.6) - 0.4 * math.log(0.4)  # entropy, of two labels
OF_CALL = {
    "file": "a.wav",
    "status": "ok",
    "note": None,
    "total_conversation_duration_s": 33.0,
    "talk_time_total_s": 26.5,
    "silence_percentage": 100 * 6.5 / 33,
    "non_talk_time_total_s": 4.0,
    "non_talk_count": 1,
    "longest_non_talk_s": 4.0,
    "overlap_s": 1.9,
    "overtalk_percentage": 100 * 1.9 / 33,
    "turn_count": 5,
}
OF_AGENT = {
    "talk_time_agent_s": 12.4,
    "agent_speaking_percentage": 100 * 12.4 / 33,
    "interruptions_agent_count": 1,
    "interruptions_time_agent_s": 1.0,
    "backchannels_agent_count": 1,
    "longest_turn_agent_s": 5.5,
    "response_time_median_agent_s": 2.0,
    "scored_agent_s": 12.0,
    "coverage_agent": 12 / 12.4,
    "emotion_overall_score_agent": 1 / 3,
    "emotion_q1_score_agent": 2.0,
    "emotion_q2_score_agent": None,
    "emotion_q3_score_agent": None,
    "emotion_q4_score_agent": -2.0,
    "emotion_end_score_agent": -2.0,
    "emotion_trend_agent": -4.0,
    "emotion_trend_class_agent": "Declining",
    "negative_time_agent_s": 1.6,
    "longest_negative_agent_s": 0.0,
    "anger_peak_agent": 0.4,
    "anger_peak_start_s_agent": 29.0,
    "anger_peak_end_s_agent": 33.0,
    "anger_peak_segment_agent": 2,
    "recovery_agent": 0.0,
    "uncertainty_agent": 10 * H / 12,
    "p_neutral_agent": 2 / 3,
    "p_happy_agent": 0.2,
    "p_angry_agent": 1.6 / 12,
    "p_sad_agent": 0.0,
}
OF_CUSTOMER = {
    "talk_time_customer_s": 16.0,
    "customer_speaking_percentage": 100 * 16 / 33,
    "interruptions_customer_count": 0,
    "interruptions_time_customer_s": 0.0,
    "backchannels_customer_count": 1,
    "longest_turn_customer_s": 11.0,
    "response_time_median_customer_s": 4.0,
    "scored_customer_s": 16.0,
    "coverage_customer": 1.0,
    "emotion_overall_score_customer": -23 / 16,
    "emotion_q1_score_customer": None,
    "emotion_q2_score_customer": None,
    "emotion_q3_score_customer": -4.0,
    "emotion_q4_score_customer": -2.0,
    "emotion_end_score_customer": -2.0,
    "emotion_trend_customer": None,
    "emotion_trend_class_customer": "NotCalculated",
    "negative_time_customer_s": 7.2,
    "longest_negative_customer_s": 6.0,
    "anger_peak_customer": 0.7,
    "anger_peak_start_s_customer": 18.0,
    "anger_peak_end_s_customer": 24.0,
    "anger_peak_segment_customer": 1,
    "recovery_customer": 0.75,
    "p_neutral_customer": (4 * 0.5 + 6 * 0.2 + 6 * 0.5) / 16,
    "p_happy_customer": (4 * 0.5 + 6 * 0.1) / 16,
    "p_angry_customer": (6 * 0.7 + 6 * 0.3) / 16,
    "p_sad_customer": (6 * 0.1 + 6 * 0.1) / 16,
}


def assert_values(row: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        close = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
        assert row[name] == close, name


def test_a_call_composed_by_hand() -> None:
    row = call_row(speech_rows(SPEECH), segment_rows(SEGMENTS))
    expected = OF_CALL | OF_AGENT | OF_CUSTOMER
    assert row.keys() - expected.keys() == {"uncertainty_customer"}
    assert_values(row, expected)
    scores = np.array([scores for channel, *_, crosstalk, scores in SEGMENTS if channel][:3])
    entropies = -np.sum(scores * np.log(np.where(scores > 0, scores, 1)), axis=1)
    assert row["uncertainty_customer"] == pytest.approx(np.average(entropies, weights=[4, 6, 6]))


def test_of_a_role_that_was_not_scored_only_the_talk_is_known() -> None:
    customers = segment_rows([each for each in SEGMENTS if each[0] == 1])
    row = call_row(speech_rows(SPEECH), customers, score="customer")
    first = list(OF_AGENT).index("scored_agent_s")
    talk, emotions = list(OF_AGENT)[:first], list(OF_AGENT)[first:]
    assert_values(row, OF_CALL | {name: OF_AGENT[name] for name in talk} | OF_CUSTOMER)
    assert {row[name] for name in emotions} == {None}


def test_without_a_speech_table_times_are_null_and_scores_are_there() -> None:
    """A party's quarters then end with its last segment: here the customer's also at 30 s."""
    segments = segment_rows([each for each in SEGMENTS if not each[3]])
    row = call_row(None, segments)
    for name in OF_CALL.keys() - {"file", "status"}:
        assert row[name] is None, name
    for party in ("agent", "customer"):
        assert row[f"talk_time_{party}_s"] is row[f"coverage_{party}"] is None
    scores = {name: value for name, value in OF_CUSTOMER.items() if name.startswith("emotion")}
    assert_values(row, scores | {"scored_customer_s": 16.0, "recovery_customer": 0.75})


def test_a_failed_recording_has_a_row_without_figures() -> None:
    row = call_row(None, [], status="failed", channels=None, duration_s=None)
    assert {name for name, value in row.items() if value is not None} == {"file", "status"}


def test_a_silent_party_and_a_silent_call() -> None:
    """A channel without speech has no rows: the settings show whose it is."""
    agents = [each for each in SPEECH if each[0] == 0]
    row = call_row(speech_rows(agents), segment_rows([e for e in SEGMENTS if e[0] == 0]))
    assert row["talk_time_customer_s"] == row["customer_speaking_percentage"] == 0
    assert row["turn_count"] == 1
    assert row["longest_turn_customer_s"] is row["response_time_median_customer_s"] is None
    assert row["scored_customer_s"] == 0
    assert row["coverage_customer"] is row["emotion_overall_score_customer"] is None
    silent = call_row([], [], status="empty")
    assert silent["total_conversation_duration_s"] == silent["talk_time_agent_s"] == 0
    assert silent["silence_percentage"] is silent["agent_speaking_percentage"] is None
    assert silent["turn_count"] == 0


def test_who_begins_later_is_who_interrupts() -> None:
    """The customer answers a little early and goes on; the agent then breaks in."""
    speech = [(0, 0.5, 2.2, False), (0, 8.2, 9.9, False), (1, 1.9, 12.2, False)]
    row = call_row(speech_rows(speech), [])
    assert (row["interruptions_customer_count"], row["backchannels_customer_count"]) == (0, 1)
    assert (row["interruptions_agent_count"], row["backchannels_agent_count"]) == (1, 0)
    assert row["interruptions_time_customer_s"] == 0
    assert row["interruptions_time_agent_s"] == pytest.approx(1.7)
    assert row["overlap_s"] == pytest.approx(2.0)


def test_seconds_of_windows_that_overlap_count_once() -> None:
    """8 s in windows of 4 s each 2 s: half of it is negative, and the middle one for sure."""
    angry = [(0.5, 0.0, 0.5, 0.0), (0.4, 0.0, 0.6, 0.0), (0.6, 0.0, 0.4, 0.0)]
    windows = [(1, 2.0 * n, 2.0 * n + 4, False, each) for n, each in enumerate(angry)]
    row = call_row(speech_rows([(1, 0.0, 8.0, False)]), segment_rows(windows))
    assert row["scored_customer_s"] == 8.0
    assert row["negative_time_customer_s"] == pytest.approx(4.0)
    assert row["longest_negative_customer_s"] == pytest.approx(4.0)


def test_on_one_channel_nobody_knows_who_interrupts() -> None:
    speech = speech_rows([each for each in SPEECH if each[0] == 0], roles={})
    segments = segment_rows([each for each in SEGMENTS if each[0] == 0], roles={})
    row = call_row(speech, segments, parties=("ch0",), channels=1)
    assert row["talk_time_total_s"] == row["talk_time_ch0_s"] == pytest.approx(12.4)
    unknown = ("overlap_s", "overtalk_percentage", "turn_count", "longest_turn_ch0_s")
    unknown += ("interruptions_ch0_count", "backchannels_ch0_count", "response_time_median_ch0_s")
    assert {row[name] for name in unknown} == {None}
    assert row["emotion_overall_score_ch0"] == pytest.approx(1 / 3, abs=1e-6)


def test_channels_of_one_role_are_one_party() -> None:
    moved = [(2 if each[0] == 1 and each[1] > 15 else each[0], *each[1:]) for each in SPEECH]
    scored = [(2 if each[0] == 1 and each[1] > 15 else each[0], *each[1:]) for each in SEGMENTS]
    roles = ROLES | {2: "customer"}
    row = call_row(
        speech_rows(moved, roles=roles),
        segment_rows(scored, roles=roles),
        channels=3,
        roles=roles,
    )
    numbers = {"anger_peak_segment_customer": 0}  # of its channel
    assert_values(row, OF_CALL | OF_AGENT | OF_CUSTOMER | numbers)


def test_parties() -> None:
    assert [party_of(0, "agent"), party_of(3, None), party_of(-1, None)] == ["agent", "ch3", "mix"]
    found = in_order(["mix", "ch10", "ch2", "customer", "agent", "ch2"])
    assert found == ("agent", "customer", "ch2", "ch10", "mix")
    stereo = {"speech_s": [1.0, 0.0], "channels": 2, "note": None}
    roles = Channels(roles=ROLES)
    assert roles.expected(stereo) == ROLES
    assert roles.expected(stereo | {"speech_s": [1.0], "note": "dual_mono"}) == {0: "ch0"}
    assert roles.expected(stereo | {"speech_s": [1.0], "channels": 1}) == {0: "ch0"}
    assert Channels("1", ROLES).expected(stereo | {"speech_s": [1.0]}) == {1: "customer"}
    assert Channels("mix").expected(stereo | {"speech_s": [1.0]}) == {-1: "mix"}
    assert Channels(own_roles=True).expected(stereo) == {}


def test_carried_columns() -> None:
    """A value that all segments have; of a recording without segments that of its name."""
    scale, pattern = EmotionScale.of(LABELS), NamePattern("{agent}_{call}")
    table = CallTable(scale, ("ch0",), ("agent", "call", "note", "line"), name_pattern=pattern)
    schema = SCHEMAS.segments
    for name in table.carried:
        schema = schema.append(pa.field(name, pa.string()))
    segments = segment_rows(SEGMENTS[:3], "ann_1.wav", {}, agent="ann", call="1", note="vip")
    for number, each in enumerate(segments):
        each["line"] = str(number)
    file = {"file": "ann_1.wav", "status": "ok", "note": "truncated", "channels": 1}
    file |= {"speech_s": None}
    row = table.row(file, pa.Table.from_pylist(segments, schema=schema), None)
    values = {"agent": "ann", "call": "1", "note": "truncated", "in_note": "vip", "line": None}
    assert_values(row, values)
    row = table.row(file, None, None)
    assert_values(row, values | {"in_note": None})


def test_roles_whose_columns_have_one_name_are_refused() -> None:
    table = CallTable(EmotionScale.of(LABELS), ("customer", "total"))
    with pytest.raises(UsageError, match="two columns of the calls would be named talk_time_total"):
        _ = table.schema


def test_types_do_not_depend_on_the_names_of_roles() -> None:
    schema = CallTable(EmotionScale.of(LABELS), ("head_count", "agent")).schema
    for role in ("head_count", "agent"):
        assert schema.field(f"emotion_overall_score_{role}").type == pa.float64()
        assert schema.field(f"backchannels_{role}_count").type == pa.int32()
        assert schema.field(f"emotion_trend_class_{role}").type == pa.string()
    assert schema.field("turn_count").type == pa.int32()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive": "joy"}, "--positive joy: found joy; expected labels of the checkpoint"),
        ({"positive": "angry"}, "angry is in both"),
        ({"positive": "", "negative": ""}, "none of them positive or negative"),
    ],
)
def test_labels_that_give_no_scale(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EmotionScale.of(LABELS, **options)


def test_other_labels_change_the_scale() -> None:
    scale = EmotionScale.of(LABELS, "neutral, happy", "sad")
    probabilities = np.array([[0.25, 0.25, 0.4, 0.1]])
    assert scale.share(probabilities, scale.positive) == pytest.approx([0.5])
    assert scale.share(probabilities, scale.negative) == pytest.approx([0.1])


def test_classes_of_trends() -> None:
    found = [trend_class(each) for each in (None, 0.99, 1.0, 2.49, 2.5, -0.99, -1.0, -2.5)]
    slight = ("NoChange", "SlightlyImproving", "SlightlyImproving", "Improving")
    assert found == ["NotCalculated", *slight, "NoChange", "SlightlyDeclining", "Declining"]


def test_cells_that_a_spreadsheet_would_compute() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert safe_cell(text) == f"'{text}"
    for value in ("a=1", "", None, -1.5, 3):
        assert safe_cell(value) == value


def test_cells_come_back() -> None:
    for text in (f"{marks}{each}1" for each in FORMULA for marks in ("", "'", "''")):
        assert plain_cell(safe_cell(text)) == text
    assert plain_cell(safe_cell("'tis")) == "'tis"


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Regions and segments of two channels, in order on each."""
    speech, segments = [], []
    for channel in (0, 1):
        at = 0
        for _ in range(draw(st.integers(0, 8))):
            start = at + draw(st.integers(1, 6_000))
            at = start + draw(st.integers(250, 9_000))
            crosstalk = draw(st.sampled_from((False, False, False, True)))
            region = channel, start / 1_000, at / 1_000, crosstalk
            speech.append(region)
            if draw(st.booleans()):
                weights = np.array(draw(st.lists(st.integers(0, 9), min_size=4, max_size=4))) + 1e-9
                segments.append((*region, (weights / weights.sum()).tolist()))
    return speech, segments


@given(recordings())
def test_what_holds_of_every_call(recording: tuple[list[Any], list[Any]]) -> None:
    speech, segments = recording
    row = call_row(speech_rows(speech), segment_rows(segments), duration_s=300.0)
    talk = [row[f"talk_time_{party}_s"] for party in ROLES.values()]
    total, close = row["total_conversation_duration_s"], 1e-6
    assert max(talk) - close <= row["talk_time_total_s"] <= min(sum(talk), total) + close
    assert row["overlap_s"] == pytest.approx(sum(talk) - row["talk_time_total_s"], abs=1e-6)
    assert row["non_talk_time_total_s"] <= total - row["talk_time_total_s"] + close
    assert row["non_talk_count"] * 3 <= row["non_talk_time_total_s"] + close
    for name, value in row.items():
        if "percentage" in name and value is not None:
            assert 0 <= value <= 100, name
        if re.search("q[1-4]_score|overall|end_score", name) and value is not None:
            assert -5 - close <= value <= 5 + close, name
    own = [each for each in speech if not each[3]]
    assert (row["turn_count"] > 0) == bool(own)
    assert row["turn_count"] <= len(own)
    if len({each[0] for each in own}) == 2 and all(each[2] - each[1] > 0.5 for each in own):
        assert row["turn_count"] > 1
    interrupted = [row[f"interruptions_time_{party}_s"] for party in ROLES.values()]
    assert sum(interrupted) <= row["overlap_s"] + close
    for party in ROLES.values():
        begun = row[f"interruptions_{party}_count"] + row[f"backchannels_{party}_count"]
        assert begun <= sum(ROLES[each[0]] == party for each in own)
        assert 0 <= (row[f"coverage_{party}"] or 0) <= 1
        if (score := row[f"emotion_overall_score_{party}"]) is not None:
            assert row[f"negative_time_{party}_s"] <= row[f"scored_{party}_s"] + close
            assert score <= 5 * row[f"p_happy_{party}"] + close


def test_groups_are_means_over_calls() -> None:
    draw = np.random.default_rng(3)
    scores = draw.normal(-1, 0.8, 400)
    queues = draw.choice(["a", "b"], 400, p=[0.9, 0.1])
    groups = CallGroups(("queue",), ("customer",))
    names = [f"{each}_customer" for each in ("emotion_end_score", "emotion_trend", "coverage")]
    for score, queue in zip(scores, queues, strict=True):
        row = dict.fromkeys(names) | {"queue": queue, "emotion_overall_score_customer": score}
        row |= {"talk_time_customer_s": 10.0, "coverage_customer": 0.5 if queue == "a" else None}
        trend = "SlightlyDeclining" if score < -1 else "NoChange" if score < 0 else "NotCalculated"
        groups.add(row | {"emotion_trend_class_customer": trend}, 36.0)
    found = {each["queue"]: each for each in groups.table().to_pylist()}
    assert [*found] == ["a", "b"]
    for queue, row in found.items():
        mine = scores[queues == queue]
        assert row["calls"] == len(mine)
        assert row["hours"] == pytest.approx(len(mine) / 100)
        assert row["emotion_overall_score_customer"] == pytest.approx(mine.mean())
        half = 1.96 * mine.std() / np.sqrt(len(mine))
        for name, edge in (("low", mine.mean() - half), ("high", mine.mean() + half)):
            interval = row[f"emotion_overall_score_customer_{name}"]
            assert interval == pytest.approx(edge, abs=half / 4), "as of a normal distribution"
        assert row["share_below_0_customer"] == pytest.approx((mine < 0).mean())
        assert row["share_declining_customer"] == (mine < -1).sum() / (mine < 0).sum()
        assert row["coverage_customer"] == (0.5 if queue == "a" else None)
        assert row["emotion_trend_customer_low"] is None


def test_few_calls_and_names_of_groups() -> None:
    groups = CallGroups(("hours", "day"), ())
    for number in range(31):
        groups.add({"hours": " late ", "day": "mon" if number else None}, 1.0)
    assert [each["few_calls"] for each in groups.table().to_pylist()] == [False, True]
    assert groups.table()["in_hours"].to_pylist() == ["late", "late"]
    assert groups.table()["day"].to_pylist() == ["mon", None]
    for number in range(9_998):
        groups.add({"hours": str(number), "day": "tue"}, 1.0)
    with pytest.raises(UsageError, match=r"--by hours,day: found more than 10,000 groups"):
        groups.add({"hours": "x", "day": "x"}, 1.0)


def test_every_column_is_documented() -> None:
    named = {
        name for cells in rows(read("docs/calls.md")) for name in re.findall(r"`([^`]+)`", cells[0])
    }
    calls = CallTable(EmotionScale.of(("neutral", "angry")), ("{r}",)).schema.names
    groups = CallGroups((), ("{r}",)).schema.names
    assert {name for name in (*calls, *groups) if name != "p_angry_{r}"} <= named
