"""Composed calls: the files hold what the truth table lists, and the figures of known results."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from labelled import record

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from train.data.utterances import Utterance

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from composed_calls import AGENT, CUSTOMER, compose, judge
from prompts import prompts

CALLS = 8
FAINT = 0.05  # of the second speaker, 26 dB below the first
SHORT_S, LONG_S = 2, 5  # the prompts of the two languages
VOICES = ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June")
LABELS = ("neutral", "happy", "angry", "calm")


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> list[Utterance]:
    """Two speakers with three half seconds of each emotion, and two that cannot be customers."""
    root = tmp_path_factory.mktemp("customers")
    loud = [n for n in range(50) if np.sqrt(np.mean(speech[(n + 3) * 8_000 :][:8_000] ** 2)) > 0.05]
    levels = [("one", "neutral", 1.0), ("one", "angry", 1.0), ("one", "happy", 1.0)]
    levels += [("two", "neutral", FAINT), ("two", "angry", FAINT), ("three", "angry", 1.0)]
    levels += [("", "neutral", 1.0), ("", "angry", 1.0)]
    found: list[Utterance] = []
    for speaker, label, level in levels:
        for take in range(3):
            path = root / f"{speaker}-{label}-{take}.wav"
            record(path, speech * np.float32(level), loud[len(found) % len(loud)])
            found.append(Utterance(path, label, speaker, "", "en", corpus="corpus"))
    return found


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> list[Path]:
    """Prompts of two languages, and for each one that is too short and one that is too long."""
    root = tmp_path_factory.mktemp("agents")
    for language, length_s in (("en", SHORT_S), ("es", LONG_S)):
        (root / language).mkdir()
        for number, cut_s in enumerate((length_s, length_s, length_s, 0.4, 12)):
            samples = speech[(number * 4 + 2) * 16_000 :][: round(cut_s * 16_000)]
            soundfile.write(root / language / f"{number}.wav", samples, 16_000)
    return sorted(root.rglob("*.wav"))


@pytest.fixture(scope="module")
def truth_path(
    tmp_path_factory: pytest.TempPathFactory, customers: list[Utterance], agents: list[Path]
) -> Path:
    return compose(tmp_path_factory.mktemp("calls"), customers, agents, CALLS, seed=1)


@pytest.fixture(scope="module")
def truth(truth_path: Path) -> pd.DataFrame:
    return pd.read_csv(truth_path)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, customers: list[Utterance], agents: list[Path], truth_path: Path
) -> None:
    compose(tmp_path / "again", customers, agents, CALLS, seed=1)
    compose(tmp_path / "other", customers, agents, CALLS, seed=2)
    calls = written(truth_path.parent)
    assert len(calls) == CALLS + 1
    assert written(tmp_path / "again") == calls
    assert written(tmp_path / "other") != calls


def test_calls_are_telephone_files_of_two_channels(truth_path: Path, truth: pd.DataFrame) -> None:
    for call in truth["call"].unique():
        info = soundfile.info(truth_path.parent / call)
        assert (info.samplerate, info.channels, info.subtype) == (8_000, 2, "ULAW")


def test_turns_alternate_within_the_file(truth_path: Path, truth: pd.DataFrame) -> None:
    for call, turns in truth.groupby("call"):
        starts_s, ends_s = turns["start_s"].to_numpy(), turns["end_s"].to_numpy()
        assert list(turns["turn"]) == list(range(len(turns)))
        assert list(turns["channel"]) == [number % 2 for number in range(len(turns))]
        pauses_s = starts_s - [0.0, *ends_s[:-1]]
        assert (pauses_s > 0.199).all()
        assert (pauses_s < 1.501).all()
        assert 0.19 < soundfile.info(truth_path.parent / str(call)).duration - ends_s[-1] < 1.51


def test_turns_last_as_long_as_they_should(truth: pd.DataFrame) -> None:
    lengths_s = truth["end_s"] - truth["start_s"]
    customer = lengths_s[truth["channel"] == CUSTOMER]
    assert customer.min() > 0.99
    assert customer.max() < 4.0 + 0.2 * 8  # eight joins of half seconds
    assert lengths_s[truth["channel"] == AGENT].between(1.0, 8.0).all()


def test_half_of_the_calls_turn_angry_in_their_middle_third(truth: pd.DataFrame) -> None:
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for _, turns in truth.groupby("call"):
        angry = (turns["label"] == "angry").to_numpy()
        customer = (turns["channel"] == CUSTOMER).to_numpy()
        lengths[bool(angry.any())].append(len(turns))
        if angry.any():
            change = int(angry.argmax())  # the change lies before it, at most by an agent's turn
            assert len(turns) / 3 <= change <= 2 * len(turns) / 3 + 1
            assert (angry == (customer & (np.arange(len(turns)) >= change))).all()
            assert not angry[customer].all()
    assert sorted(lengths[True]) == sorted(lengths[False])
    assert len(lengths[True]) == CALLS // 2
    assert (min(lengths[True]), max(lengths[True])) == (4, 40)


def test_energy_is_in_the_turns_and_nowhere_else(truth_path: Path, truth: pd.DataFrame) -> None:
    for call, turns in truth.groupby("call"):
        samples, _ = soundfile.read(truth_path.parent / str(call))
        outside = np.ones_like(samples, bool)
        powers: dict[int, list[float]] = {AGENT: [], CUSTOMER: []}
        for turn in turns.to_dict("records"):
            start, end = round(turn["start_s"] * 8_000), round(turn["end_s"] * 8_000)
            outside[start:end, turn["channel"]] = False
            spoken = samples[start:end, turn["channel"]]
            powers[turn["channel"]].append(float(np.mean(spoken**2)))
            for edge in (spoken[:80], spoken[-80:]):  # within 30 dB of the loudest 10 ms
                assert np.mean(edge**2) > powers[turn["channel"]][-1] / 1_000
        for channel, found in powers.items():
            noise = np.mean(samples[outside[:, channel], channel] ** 2)
            assert 10 * np.log10((noise + 1e-12) / np.mean(found)) < -38


def test_a_call_has_one_customer_and_one_language(truth_path: Path, truth: pd.DataFrame) -> None:
    languages, spreads_db = set(), []
    for call, turns in truth.groupby("call"):
        samples, _ = soundfile.read(truth_path.parent / str(call))
        customer = turns[turns["channel"] == CUSTOMER].to_dict("records")
        cuts = [(round(each["start_s"] * 8_000), round(each["end_s"] * 8_000)) for each in customer]
        powers = [np.mean(samples[start:end, CUSTOMER] ** 2) for start, end in cuts]
        spreads_db.append(10 * np.log10(max(powers) / min(powers)))
        agent = turns[turns["channel"] == AGENT]
        is_long = agent["end_s"] - agent["start_s"] > SHORT_S + 0.5
        assert is_long.nunique() == 1
        languages.add(bool(is_long.iloc[0]))
    assert languages == {True, False}
    assert max(spreads_db) < 15  # the speakers are 26 dB apart


def test_recordings_that_make_no_call_are_refused(
    tmp_path: Path, customers: list[Utterance], agents: list[Path]
) -> None:
    neutral = [each for each in customers if each.label == "neutral"]
    with pytest.raises(UsageError, match="neutral and angry"):
        compose(tmp_path, neutral, agents, 2, seed=1)
    short = [path for path in agents if path.stem == "3"]
    with pytest.raises(UsageError, match="none of 1 to 8 s"):
        compose(tmp_path, customers, short, 2, seed=1)


def results_of(truth: pd.DataFrame) -> pd.DataFrame:
    """The results of a job that finds every turn and its label."""
    segments = truth.rename(columns={"call": "file"}).drop(columns=["turn", "label"])
    for label in LABELS:
        segments[f"p_{label}"] = np.where(truth["label"] == label, 0.97, 0.01)
    return segments


def test_results_like_the_truth_are_perfect(truth: pd.DataFrame) -> None:
    figures = judge(results_of(truth), truth)
    assert figures.pop("missed") == 0.0
    assert figures == dict.fromkeys(figures, 1.0)
    assert set(figures) == {
        "auc_calls",
        "auc_turns",
        "neutral_turns",
        "neutral_customer",
        "neutral_agent",
        "angry_turns",
    }


def test_shuffled_results_are_at_chance(truth: pd.DataFrame) -> None:
    many = [truth.assign(call=f"{copy}-" + truth["call"]) for copy in range(20)]
    copies = pd.concat(many, ignore_index=True)
    segments = results_of(copies)
    scores = [f"p_{label}" for label in LABELS]
    order = np.random.default_rng(1).permutation(len(segments))
    segments[scores] = segments[scores].to_numpy()[order]
    figures = judge(segments, copies)
    assert figures["auc_turns"] == pytest.approx(0.5, abs=0.05)
    assert figures["auc_calls"] == pytest.approx(0.5, abs=0.12)
    of_angry = float((copies["label"] == "angry").mean())
    assert figures["angry_turns"] == pytest.approx(of_angry, abs=0.05)


def test_turns_without_a_segment_are_missed(truth: pd.DataFrame) -> None:
    segments = results_of(truth)
    either = (truth["label"] == "angry") | (truth["channel"] == AGENT)
    first = either & (truth["turn"] < truth["turn"].median())
    figures = judge(segments[~first], truth)
    agent, angry = truth["channel"] == AGENT, truth["label"] == "angry"
    assert figures["missed"] == pytest.approx(first.mean())
    assert figures["neutral_agent"] == pytest.approx(1 - first[agent].mean())
    assert figures["angry_turns"] == pytest.approx(1 - first[angry].mean())
    assert (figures["neutral_customer"], figures["auc_turns"]) == (1.0, 1.0)


def test_no_segments_at_all_give_no_auc_of_turns(truth: pd.DataFrame) -> None:
    figures = judge(results_of(truth)[:0], truth)
    assert np.isnan(figures.pop("auc_turns"))
    assert figures.pop("auc_calls") == 0.5
    assert figures.pop("missed") == 1.0
    assert figures == dict.fromkeys(figures, 0.0)


def test_a_turn_has_the_mean_of_its_segments_by_overlap() -> None:
    turns = [("a", 1, 0, 5.0, 9.0, "angry"), ("b", 1, 0, 5.0, 9.0, "neutral")]
    truth = pd.DataFrame(turns, columns=["call", "channel", "turn", "start_s", "end_s", "label"])
    rows = [
        ("a", 1, 0.0, 6.0, 0.1, 0.9),  # 1 s of the turn
        ("a", 1, 6.0, 9.0, 0.7, 0.3),  # 3 s of it: 0.55 calm, 0.45 angry
        ("a", 0, 5.0, 9.0, 0.0, 1.0),
        ("b", 1, 0.0, 8.0, 0.5, 0.5),
        ("b", 1, 8.0, 9.0, 1.0, 0.0),
        ("b", 1, 9.0, 12.0, 0.0, 1.0),  # starts where the turn ends
    ]
    columns = ["file", "channel", "start_s", "end_s", "p_calm", "p_angry"]
    figures = judge(pd.DataFrame(rows, columns=columns), truth)
    assert (figures["angry_turns"], figures["neutral_turns"], figures["auc_turns"]) == (0, 1, 1)
    assert figures["auc_calls"] == 0.0  # by the highest segment, wherever it lies
    assert np.isnan(figures["neutral_agent"])


@pytest.fixture
def sounds(tmp_path: Path, speech: Samples, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of prompts, which the environment variable PROMPTS names."""
    root = tmp_path / "sounds"
    for voice in VOICES:
        for number, name in enumerate(("hello", "digits/1", "silence/1", "beep")):
            record(root / voice / f"{name}.wav", speech, number)
    monkeypatch.setenv("PROMPTS", str(root))
    return root


def test_prompts_are_collected_once(tmp_path: Path, sounds: Path) -> None:
    found = prompts(tmp_path / "work")
    names = sorted(path.relative_to(found).as_posix() for path in found.rglob("*.wav"))
    prompt_names = ("digits-1", "hello")
    assert names == [f"{each}/{name}.wav" for each in ("en", "es", "fr") for name in prompt_names]
    assert list((tmp_path / "work").iterdir()) == [found]
    (sounds / VOICES[0] / "more.wav").write_bytes(b"")
    assert prompts(tmp_path / "work") == found
    assert not (found / "en" / "more.wav").exists()


def test_missing_prompts_are_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTS", str(tmp_path))
    with pytest.raises(SystemExit, match=r"found no folder en_US_f_Allison"):
        prompts(tmp_path / "work")
    monkeypatch.delenv("PROMPTS")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("prompts.SOUNDS", Path("usr/share/no-such-sounds"))
    with pytest.raises(SystemExit, match=r"install asterisk-core-sounds-en-wav"):
        prompts(tmp_path / "work")
    assert not (tmp_path / "work" / "prompts").exists()
