"""Labelled recordings with several speakers: manifests with channels and times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from manifests import FORMATS, WITH_SEGMENTS, Line, jsonl, lhotse_cut
from trainings import training

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.inputs import unpack
from batch_ser.inputs.manifest import Manifest
from models import load_checkpoint
from train.data.copies import drop_copies
from train.data.manifest import read_manifest
from train.data.overview import overview
from train.data.utterances import load_utterance
from train.run import train

RATE_HZ = 16_000
LINES: list[Line] = [
    {"file": "a.wav", "label": "angry", "channel": 0, "start_s": 0.5, "end_s": 1.5},
    {"file": "a.wav", "label": "neutral", "channel": 1, "start_s": 0.5, "end_s": 1.5},
    {"file": "a.wav", "label": "neutral", "channel": 1, "start_s": 2.0, "end_s": None},
    {"file": "a.wav", "label": "neutral", "channel": None, "start_s": 0.5, "end_s": 1.5},
]


@pytest.fixture
def call(tmp_path: Path, speech: Samples) -> Path:
    """Three seconds of two speakers."""
    both = np.stack([speech[: 3 * RATE_HZ], speech[100_000 : 100_000 + 3 * RATE_HZ]], axis=1)
    soundfile.write(tmp_path / "a.wav", np.round(both * 32_000).astype(np.int16), RATE_HZ)
    return tmp_path


@pytest.mark.parametrize("name", ["jsonl.gz", "parquet", "semicolon"])
def test_a_line_is_one_channel_of_a_stretch(call: Path, name: str) -> None:
    found = read_manifest(FORMATS[name](call, LINES))
    both, _ = soundfile.read(call / "a.wav", dtype="float32")
    expected = [both[8_000:24_000, 0], both[8_000:24_000, 1], both[32_000:, 1]]
    expected.append(both[8_000:24_000].mean(1))
    for utterance, samples in zip(found, expected, strict=True):
        assert np.allclose(load_utterance(utterance, RATE_HZ), samples, atol=1e-6)
    names = [each.name.removeprefix("manifest:list:").partition(".")[2] for each in found]
    if name != "jsonl.gz":  # whose name has two endings
        assert names == ["wav[0]#0.5-1.5", "wav[1]#0.5-1.5", "wav[1]#2.0-", "wav#0.5-1.5"]
    assert len({each.name for each in found}) == len(found)
    assert len(drop_copies(found, allow=False)[0]) == len(found)
    assert "1.00 to 1.00 s" in overview(found)


@pytest.mark.parametrize("name", ["audformat csv", "audformat parquet", "lhotse cuts"])
def test_manifests_of_other_programs_have_labels(call: Path, name: str) -> None:
    lines = [{name: each[name] for name in each if name != "channel"} for each in LINES[:1]]
    (found,) = read_manifest(WITH_SEGMENTS[name](call, lines))
    assert (found.label, found.start_s, found.end_s, found.channel) == ("angry", 0.5, 1.5, None)


@pytest.mark.parametrize("name", [name for name in WITH_SEGMENTS if name != "lhotse cuts"])
def test_a_training_reads_the_segments_that_a_job_reads(
    call: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same stretches of the same channels; columns that it does not use are named once."""
    lines = [each | {"queue": "sales", "segment_id": "x"} for each in LINES]
    path = WITH_SEGMENTS[name](call, lines)
    entries = Manifest.check(path, None).entries()
    given = {segment[:3] for entry in entries for segment in unpack(entry.given_segments)}
    capsys.readouterr()
    found = read_manifest(path)
    assert {(each.start_s or 0.0, each.end_s, each.channel) for each in found} == given
    assert {each.path for each in found} == {call / "a.wav"}
    errors = [each for each in capsys.readouterr().err.splitlines() if "not used" in each]
    (line,) = errors
    assert "not used: queue, segment_id (columns: file, label" in line


def test_channels_of_cuts_of_lhotse(call: Path) -> None:
    """Of two channels, as a job takes them; both of them are the mixture."""
    cuts = [lhotse_cut(each, channels=2) for each in LINES[:2]]
    cuts.append(lhotse_cut(LINES[2] | {"end_s": 2.5}, channels=2) | {"channel": [0, 1]})
    found = read_manifest(jsonl(call, cuts))
    assert [(each.start_s, each.end_s, each.channel) for each in found] == [
        (0.5, 1.5, 0),
        (0.5, 1.5, 1),
        (2.0, 2.5, None),
    ]


def test_faulty_channels_and_open_ends(call: Path) -> None:
    lines = [
        LINES[0] | {"channel": 2},
        LINES[0] | {"channel": "left"},
        LINES[0] | {"start_s": 3.0, "end_s": None},
        LINES[0],
        LINES[0],
    ]
    with pytest.raises(UsageError) as caught:
        read_manifest(FORMATS["comma"](call, lines))
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "line 2: the channel is 2, the recording has 2 (0 to 1)",
        "line 3: the channel is left, expected a number from 0, or nothing for all",
        "line 4: starts at 3 s, the recording ends at 3.00 s",
        "line 6: a.wav is in line 5 too, with the same segment",
    ]


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_a_training_on_channels_of_calls(call: Path, tmp_path: Path, name: str) -> None:
    """Its network takes what the lines name; a checkpoint comes of it."""
    lines = [
        {
            "file": "a.wav",
            "label": "angry" if channel else "neutral",
            "channel": channel,
            "start_s": start / 4,
            "end_s": start / 4 + 0.6,
            "split": ("train", "train", "train", "train", "valid", "valid", "test", "test")[start],
        }
        for start in range(8)
        for channel in (0, 1)
    ]
    path, out = FORMATS[name](call, lines), tmp_path / "out.safetensors"
    config = training(call, out, "gap-cnn", "epochs=1")
    config = replace(config, data=(f"manifest:{path}",), split="given", allow_leak=True)
    train(config)
    assert set(load_checkpoint(out).info.labels) == {"neutral", "angry"}
