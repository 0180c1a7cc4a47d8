"""Recordings through telephone codecs: narrow, of the same length, and in step."""

import numpy as np
import pytest

from batch_ser.audio.samples import Samples
from train.augmentation.telephone import CODECS, telephoned

RATES_HZ = (16_000, 22_050)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("codec", CODECS)
def test_a_line_is_narrow_and_in_step(codec: str, rate_hz: int, speech: Samples) -> None:
    samples = speech[60_000:108_000]
    found = telephoned(samples, rate_hz, codec)
    assert (found.dtype, found.shape) == (np.float32, samples.shape)
    narrow = telephoned(samples, rate_hz, "ulaw")
    lags = np.fft.irfft(np.fft.rfft(found) * np.fft.rfft(narrow).conj())
    assert abs((lags.argmax() + 100) % len(lags) - 100) <= 2
    assert np.corrcoef(found, narrow)[0, 1] > 0.9
    power = np.abs(np.fft.rfft(found)) ** 2
    above = power[round(len(samples) * 4_200 / rate_hz) :].sum()
    assert above < 1e-3 * power.sum()


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_louder_than_one_is_not_clipped(codec: str, speech: Samples) -> None:
    samples = speech[60_000:92_000]
    loud = samples * np.float32(5 / np.abs(samples).max())
    found = telephoned(loud, 16_000, codec)
    assert np.abs(found).max() > 3
    assert np.corrcoef(found, telephoned(samples, 16_000, "ulaw"))[0, 1] > 0.9


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("length", [0, 1, 7, 200])
def test_the_shortest_recordings(codec: str, length: int, speech: Samples) -> None:
    found = telephoned(speech[60_000 : 60_000 + length], 16_000, codec)
    assert len(found) == length
    assert np.isfinite(found).all()


def test_codecs_lose_more_the_fewer_bits_they_have(speech: Samples) -> None:
    samples = speech[60_000:108_000]
    clean = telephoned(samples, 16_000, "ulaw")
    errors = {
        codec: float(np.square(telephoned(samples, 16_000, codec) - clean).sum())
        for codec in ("gsm", "opus")
    }
    assert min(errors.values()) > 0.005 * float(np.square(clean).sum())
