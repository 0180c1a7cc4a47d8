"""Speech: Silero's own results over a stream, and utterances made of them, whatever the blocks."""

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from segments import NONE, assert_covers, assert_same, cuts, spans, split

from batch_ser.audio.samples import Samples
from batch_ser.segments.edges import (
    ABOVE_NOISE_DB,
    FADE,
    FADE_THRESHOLD,
    FRAMES_KEPT,
    MAX_ADVANCE,
    MAX_TRIM,
    MIN_NOISE_DB,
    NOISE_PERCENTILE,
    ONSET_THRESHOLD,
    Edges,
)
from batch_ser.segments.segmenter import Kind, SegmentSettings, Source
from batch_ser.segments.segmenters import SEGMENTERS
from batch_ser.segments.silero import (
    FRAME,
    MIN_SILENCE,
    NEGATIVE_THRESHOLD,
    THRESHOLD,
    Detector,
    Frames,
    Regions,
)
from batch_ser.segments.silero_network import weights
from batch_ser.segments.speech import MERGE, PAD, TAIL

RATE_HZ = 16_000
TOLERANCE = 1e-4  # of a frame's probability
Stretch = tuple[int, int]
Sound = tuple[str, float, float, int]  # what, seconds, gain, seed

sounds = st.lists(
    st.tuples(
        st.sampled_from(["speech", "speech", "noise", "silence"]),
        st.floats(0.05, 3.0),
        st.sampled_from([1.0, 0.3, 0.05, 0.01]),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def frame_model() -> Any:
    """Silero's model that is called frame by frame: the reference."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        from silero_vad import load_silero_vad  # sets torch to one thread

        torch.set_num_threads(threads)
        return load_silero_vad()


def composed(speech: Samples, parts: list[Sound]) -> Samples:
    """Real speech, noise and silence one after the other; it may end in the middle of a word."""
    made = []
    for what, seconds, gain, seed in parts:
        length = round(seconds * RATE_HZ) + seed % FRAME
        noise = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
        start = seed * 37 % (len(speech) - length)
        sound = {"speech": speech[start : start + length], "noise": 0.1 * noise, "silence": None}
        made.append(NONE if length == 0 else np.zeros(length, np.float32))
        if sound[what] is not None:
            made[-1] += gain * sound[what]
    return np.concatenate(made)


def streamed(blocks: list[Samples]) -> tuple[Samples, list[Stretch]]:
    """Frame probabilities and regions of blocks, before merging, cutting and padding."""
    frames, detector, regions = Frames(), Detector(), Regions()
    probabilities = []
    for number, block in enumerate(blocks):
        probabilities.append(detector(frames(block, last=number == len(blocks) - 1)))
        regions.update(probabilities[-1])
    regions.finish(frames.end)
    return np.concatenate(probabilities), regions.closed


def by_frame(signal: Samples, model: Any) -> tuple[Samples, list[Stretch]]:
    """The same by Silero's package, frame by frame over the whole signal."""
    from silero_vad import get_speech_timestamps

    probabilities: list[float] = []

    class Recorder:
        def reset_states(self) -> None:
            model.reset_states()

        def __call__(self, frame: torch.Tensor, rate_hz: int) -> torch.Tensor:
            probability: torch.Tensor = model(frame, rate_hz)
            probabilities.append(probability.item())
            return probability

    found = get_speech_timestamps(torch.from_numpy(signal), Recorder(), speech_pad_ms=0)
    return np.array(probabilities, np.float32), [(each["start"], each["end"]) for each in found]


def test_the_weights_are_silero_s_own(frame_model: Any) -> None:
    theirs = [each for name, each in frame_model.state_dict().items() if "_8k" not in name]
    assert len(theirs) == len(weights())
    for ours in weights().values():
        assert any(torch.equal(ours, each) for each in theirs)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(parts=sounds, cuts=cuts)
@example(parts=[("speech", 2.9, 1.0, 1_500)], cuts=[])  # ends in the middle of speech
@example(parts=[("silence", 1.0, 1.0, 0), ("speech", 0.2, 1.0, 1_500)], cuts=[7])  # too short
@example(parts=[("silence", 0.05, 1.0, 0)], cuts=[1, 2, 3])
def test_regions_are_silero_s_own(
    speech: Samples, frame_model: Any, parts: list[Sound], cuts: list[int]
) -> None:
    signal = composed(speech, parts)
    expected, regions = by_frame(signal, frame_model)
    probabilities, found = streamed(split(signal, cuts))
    assert np.abs(probabilities - expected).max() < TOLERANCE
    near = [np.abs(expected - line).min() for line in (THRESHOLD, NEGATIVE_THRESHOLD)]
    assume(min(near) > TOLERANCE)  # nearer, and the tolerance alone may decide
    assert found == regions


def test_real_speech_has_many_regions(speech: Samples, frame_model: Any) -> None:
    expected, regions = by_frame(speech, frame_model)
    probabilities, found = streamed(split(speech, [1, 2, 70_000, 300_001]))
    assert np.abs(probabilities - expected).max() < TOLERANCE
    assert len(regions) > 5
    assert found == regions


def edges(energies: list[float], speech: Samples, region: Stretch) -> Stretch:
    """Where a region's speech begins and ends, with every frame of the signal at hand."""
    levels = [10 * np.log10(energy / FRAME + 1e-10) for energy in energies]

    def noise(now: int) -> float:
        recent = levels[max(0, now + 1 - FRAMES_KEPT) : now + 1]
        return float(max(np.percentile(recent, NOISE_PERCENTILE), MIN_NOISE_DB)) + ABOVE_NOISE_DB

    begins = opened = region[0] // FRAME
    for n in range(max(0, opened - MAX_ADVANCE), opened):
        if speech[n] >= ONSET_THRESHOLD:
            begins = n
            break
    for n in range(begins - 1, max(-1, opened - MAX_ADVANCE - 1), -1):
        if levels[n] < noise(opened):
            break
        begins = n
    last = ends = -(-region[1] // FRAME)
    closing = [
        n
        for n in range(last, len(levels))
        if (n - last) * FRAME >= MIN_SILENCE and speech[n] < NEGATIVE_THRESHOLD
    ]
    closed = closing[0] if closing else len(levels) - 1
    while last - ends < FADE and speech[ends - 1] < FADE_THRESHOLD:
        ends -= 1
    while last - ends < MAX_TRIM and levels[ends - 1] < noise(closed):
        ends -= 1
    return begins * FRAME, min(ends * FRAME, region[1])


def utterances(
    signal: Samples, detected: tuple[Samples, list[Stretch]], max_s: float, min_s: float
) -> list[tuple[Kind, int, int]]:
    """What is made of regions, over the whole signal at once: merged, padded, cut where quiet."""
    longest, least = round(max_s * RATE_HZ), round(min_s * RATE_HZ)
    frames = np.pad(signal, (0, -len(signal) % FRAME)).reshape(-1, FRAME)
    energies = [float(np.dot(frame, frame)) for frame in frames]
    merged: list[tuple[int, int, int, int]] = []
    for start, end in detected[1]:
        begins, ends = edges(energies, detected[0], (start, end))
        if merged and start - merged[-1][3] <= MERGE:
            merged[-1] = (*merged[-1][:2], end, ends)
        else:
            merged.append((begins, start, end, ends))
    found, cursor = [], 0
    for begins, start, end, ends in merged:
        if end - start < least:
            found.append((Kind.TOO_SHORT, start, end))
            cursor = end
            continue
        cursor = max(cursor, begins - PAD)
        stop = min(max(ends + TAIL, start + least), len(signal))
        while stop - cursor > longest:
            earliest, latest = cursor + longest // 2, min(cursor + longest, stop - least)
            inside = [
                n
                for n in range(len(energies))
                if n * FRAME >= earliest and (n + 1) * FRAME <= latest
            ]
            cut = latest  # where the halves leave no choice, because max_s is twice min_s
            if inside:
                cut = min(inside, key=lambda n: energies[n]) * FRAME + FRAME // 2
            found.append((Kind.SCORED, cursor, cut))
            cursor = cut
        found.append((Kind.SCORED, cursor, stop))
        cursor = stop
    return found


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    parts=sounds,
    cuts=cuts,
    max_s=st.sampled_from([1.0, 1.5, 3.0, 8.0]),
    min_s=st.sampled_from([0.1, 0.5]),
)
# its last region is too short by less than what the last frame was filled with
@example(parts=[("speech", 2.921875, 1.0, 564)], cuts=[], max_s=1.5, min_s=0.1)
def test_utterances_are_merged_padded_and_cut(
    speech: Samples, parts: list[Sound], cuts: list[int], max_s: float, min_s: float
) -> None:
    signal = composed(speech, parts)
    chosen = SegmentSettings("speech", max_s=max_s, min_s=min_s)
    whole = spans(chosen, [signal], RATE_HZ)
    assert_same(whole, spans(chosen, split(signal, cuts), RATE_HZ))
    assert_covers(whole, len(signal))
    speech_spans = [span[:3] for span in whole if span.kind is not Kind.NOT_SPEECH]
    assert speech_spans == utterances(signal, streamed([signal]), max_s, min_s)
    for span in whole:
        if span.samples is not None:
            assert np.array_equal(span.samples, signal[span.start : span.end])


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(cuts=cuts, source_hz=st.sampled_from([8_000, 11_025, 44_100, 48_000]))
def test_speech_of_other_clocks(speech: Samples, cuts: list[int], source_hz: int) -> None:
    """At a network's rate of 22,050 Hz: whatever the blocks, in the source's frames."""
    network_hz = 22_050
    chosen, signal = SegmentSettings("speech", max_s=3.0), speech[: 7 * network_hz]
    total = len(signal) * source_hz // network_hz
    source, found = Source(source_hz, network_hz), []
    for blocks in ([signal], split(signal, cuts)):
        segmenter = SEGMENTERS["speech"](source, chosen)
        spans_found = [span for block in blocks for span in segmenter(block)]
        found.append(spans_found + list(segmenter(NONE, total)))
    assert_same(*found)
    assert_covers(found[0], total)
    scored = [span for span in found[0] if span.samples is not None]
    assert scored
    for span in scored:
        assert span.samples is not None
        seconds = len(span.samples) / network_hz
        assert (span.end - span.start) / source_hz == pytest.approx(seconds, abs=1e-3)


def test_speech_is_found_between_silences(speech: Samples) -> None:
    word = speech[4 * RATE_HZ : 6 * RATE_HZ]  # nothing but speech
    silence = np.zeros(2 * RATE_HZ, np.float32)
    found = spans(SegmentSettings("speech"), [np.concatenate([silence, word, silence])], RATE_HZ)
    scored = [span for span in found if span.kind is Kind.SCORED]
    assert len(scored) == 1
    assert scored[0].start / RATE_HZ == pytest.approx(1.9, abs=0.3)
    assert scored[0].end / RATE_HZ == pytest.approx(4.1, abs=0.3)


def test_long_speech_is_cut_where_it_is_quiet(speech: Samples) -> None:
    """Continuous speech with one quiet 60 ms in it, at 3.0 s: the cut falls there."""
    word = speech[4 * RATE_HZ : 5 * RATE_HZ]  # nothing but speech
    signal = np.tile(word, 6)
    signal[3 * RATE_HZ : 3 * RATE_HZ + 960] *= 1e-4
    found = spans(SegmentSettings("speech", max_s=4.0), [signal], RATE_HZ)
    ends = [span.end / RATE_HZ for span in found if span.kind is Kind.SCORED]
    assert ends[0] == pytest.approx(3.03, abs=0.04)


def test_a_short_word_is_too_short(speech: Samples) -> None:
    word = speech[4 * RATE_HZ : 5 * RATE_HZ]  # nothing but speech
    silence = np.zeros(2 * RATE_HZ, np.float32)
    chosen = SegmentSettings("speech", min_s=3.0, max_s=8.0)
    found = spans(chosen, [np.concatenate([silence, word, silence])], RATE_HZ)
    assert Counter(span.kind for span in found)[Kind.TOO_SHORT] == 1
    assert not any(span.kind is Kind.SCORED for span in found)


def test_long_silence_is_not_held() -> None:
    segmenter = SEGMENTERS["speech"](Source(RATE_HZ, RATE_HZ), SegmentSettings("speech"))
    silence = np.zeros(RATE_HZ * 20, np.float32)
    reached = 0
    for _ in range(9):
        for span in segmenter(silence):
            assert span.kind is Kind.NOT_SPEECH
            reached = span.end
    assert reached > 165 * RATE_HZ


def edges_after(levels_db: list[float], speech: list[float]) -> Edges:
    """Edges after frames of these levels and probabilities."""
    found = Edges()
    for level_db, probability in zip(levels_db, speech, strict=True):
        found.append(FRAME * 10 ** (level_db / 10), probability)
    return found


def test_a_start_is_the_first_frame_that_may_be_speech() -> None:
    speech = [0.0] * 40 + [0.2] + [0.0] * 9 + [0.9]
    assert edges_after([-40.0] * 51, speech).start(50 * FRAME) == 40 * FRAME
    soft = [*[-50.0] * 46, *[-30.0] * 4, -20.0]  # and where the level rises, before that
    assert edges_after(soft, [0.0] * 50 + [0.9]).start(50 * FRAME) == 46 * FRAME
    loud = [*[-50.0] * 20, *[-20.0] * 31]
    assert edges_after(loud, [0.0] * 50 + [0.9]).start(50 * FRAME) == (50 - MAX_ADVANCE) * FRAME


def test_an_end_leaves_out_what_is_no_louder_than_the_noise() -> None:
    levels = [-50.0] * 40 + [-20.0] * 20 + [-50.0] * 10
    speech = [0.0] * 40 + [0.9] * 23 + [0.1] * 7
    assert edges_after(levels, speech).end(63 * FRAME) == 60 * FRAME
    assert edges_after(levels, speech).end(66 * FRAME) == 61 * FRAME  # by MAX_TRIM at most
    loud = [*[-50.0] * 40, *[-20.0] * 30]
    assert edges_after(loud, speech).end(63 * FRAME) == 63 * FRAME
    assert edges_after(loud, speech).end(66 * FRAME) == (66 - FADE) * FRAME
