"""Whose voice is scored: `--roles` and `--score`."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from results import assert_holds, assert_same_tables, score, tables
from telephone_call import AGENT, CUSTOMER, RATE_HZ, composed

from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import InputFile
from batch_ser.results import TableSchemas
from batch_ser.segments import SegmentSettings
from jobs import RunConfig
from jobs.worker import ShardSettings, score_shard
from models import load_checkpoint

ROLES = "0=agent,1=customer"


@pytest.fixture(scope="module")
def recordings(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call with a voice on each channel, and recordings with both on one."""
    folder = tmp_path_factory.mktemp("recordings")
    agent, customer = (composed(calls, parts)[0] for parts in (AGENT, CUSTOMER))
    both = (agent + customer) / 2
    lines = {
        "call": [agent, customer],
        "call-of-three": [agent, customer, np.roll(customer, 4_321)],
        "dual-mono": [both, both],
        "mono": [both],
    }
    for name, channels in lines.items():
        soundfile.write(folder / f"{name}.wav", np.stack(channels, 1), RATE_HZ, subtype="ULAW")
    return folder


@pytest.fixture
def call(recordings: Path) -> Path:
    return recordings / "call.wav"


def test_rows_have_the_role_of_their_channel(
    recordings: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """And none where a channel may hold several voices."""
    score(recordings, tmp_path / "out.parquet", checkpoint_path, roles="1=customer; 0=agent")
    assert_holds(tmp_path / "out.parquet")
    segments, files = tables(tmp_path / "out.parquet")
    found = {
        (row.file.removesuffix(".wav"), row.channel, row.role if isinstance(row.role, str) else "")
        for row in segments.itertuples()
    }
    calls = {
        (name, n, r)
        for name in ("call", "call-of-three")
        for n, r in enumerate(("agent", "customer"))
    }
    assert found == calls | {("call-of-three", 2, ""), ("dual-mono", 0, ""), ("mono", 0, "")}
    assert (files["status"] == "ok").all()


def test_roles_change_nothing_else(call: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    plain, roles = tmp_path / "plain.parquet", tmp_path / "roles.parquet"
    score(call, plain, checkpoint_path)
    score(call, roles, checkpoint_path, roles=ROLES)
    one, other = tables(plain)[0], tables(roles)[0]
    assert one["role"].isna().all()
    assert one.drop(columns="role").equals(other.drop(columns="role"))


def test_only_one_role_is_scored(recordings: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    """Recordings that may hold both voices on a channel fail."""
    out = tmp_path / "out.parquet"
    score(recordings, out, checkpoint_path, roles=ROLES, score="customer")
    assert_holds(out)
    segments, files = tables(out)
    assert set(zip(segments["file"], segments["channel"], segments["role"], strict=True)) == {
        (f"{name}.wav", 1, "customer") for name in ("call", "call-of-three")
    }
    rows = files.set_index("file")
    for name in ("mono", "dual-mono"):
        assert rows.loc[f"{name}.wav", ["status", "reason"]].tolist() == ["failed", "role_missing"]
    assert "mono recording" in rows.loc["mono.wav", "message"]
    assert "one signal" in rows.loc["dual-mono.wav", "message"]
    for name, left_out in (("call.wav", 1), ("call-of-three.wav", 2)):
        row = rows.loc[name]
        assert row["not_asked_s"] >= left_out * row["duration_s"]
        assert row["decoded_s"] == pytest.approx(
            row[["scored_s", "not_speech_s", "too_short_s", "not_asked_s"]].sum()
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": "agent"}, "--roles: found agent; expected the number"),
        ({"roles": " "}, "--roles: found nothing"),
        ({"roles": ROLES, "channels": "mix"}, "--roles: found --channels mix"),
        ({"roles": ROLES, "score": "client"}, r"one of the roles of --roles \(agent, customer\)"),
        ({"roles": ROLES, "score": "agent", "channels": "0"}, "--score agent: found --channels 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        RunConfig(("in",), "out", **options)


def test_a_role_needs_roles(call: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--score customer: expected --roles"):
        score(call, tmp_path / "out.parquet", checkpoint_path, score="customer")


def test_an_output_is_of_one_policy(call: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(call, out, checkpoint_path, roles=ROLES, score="customer")
    before = out.read_bytes()
    score(call, out, checkpoint_path, roles="1=customer;0=agent", score="customer")
    for other in ({}, {"roles": ROLES}, {"roles": ROLES, "score": "agent"}):
        with pytest.raises(MismatchError, match="score was customer"):
            score(call, out, checkpoint_path, **other)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("roles", "policy", "reason"),
    [
        ("0=customer;1=agent", None, None),
        ("0=customer,2=agent", None, "bad_channels"),
        ("0=customer,2=agent", "agent", "bad_channels"),
        ("customer", None, "role_missing"),
        ("0=guest", "customer", "role_missing"),
    ],
)
def test_roles_of_a_manifest_count_for_its_file(
    call: Path, checkpoint_path: Path, roles: str, policy: str | None, reason: str | None
) -> None:
    checkpoint = load_checkpoint(str(checkpoint_path))
    settings = ShardSettings(
        SegmentSettings(),
        TableSchemas(checkpoint.info.labels, detects=True),
        roles={0: "agent", 1: "customer"},
        score=policy,
    )
    [result] = score_shard([InputFile("a.wav", str(call), roles=roles)], checkpoint, settings)
    assert result.files["reason"].to_pylist() == [reason]
    found = set(
        zip(*(result.segments[name].to_pylist() for name in ("channel", "role")), strict=True)
    )
    assert found == (set() if reason else {(0, "customer"), (1, "agent")})


def test_a_job_that_goes_on_gives_the_same_roles(
    recordings: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """Whatever the order in which its recordings were committed."""
    calm, later = tmp_path / "calm.parquet", tmp_path / "later.parquet"
    score(recordings, calm, checkpoint_path, roles=ROLES)
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("mono", "call-of-three", "dual-mono", "call"):
        shutil.copy2(recordings / f"{name}.wav", folder)
        score(folder, later, checkpoint_path, roles=ROLES)
    assert_same_tables(calm, later)
