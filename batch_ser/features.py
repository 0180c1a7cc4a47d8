"""Front ends: samples to the features that a network takes.

Each segment is processed alone (STFT edges, maximum) and padded last, so that its features do not
depend on the other segments of a batch. A front end is a function (segments, device, **settings);
the checkpoint stores the settings. librosa and transformers are imported by the front ends that
use them: librosa alone takes 130 MB and a second.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from batch_ser.audio import Samples
from batch_ser.errors import CheckpointError

WHISPER_RATE_HZ = 16_000
WHISPER_FFT = 400  # 25 ms
WHISPER_HOP = 160  # 10 ms
WHISPER_MELS = 80
FAINTEST = 1e-30  # power: a floor so low that gain shifts all bands equally
ACTIVE = 3.0  # log10 of power: frames within 30 dB of a segment's loudest one are active
KALDI_FRAME = 400  # samples of a Kaldi frame, 25 ms at 16 kHz
TOP_DB = 80.0  # the floor below a segment's loudest bin, librosa's default
EXTRACTORS = ("Wav2Vec2FeatureExtractor", "ASTFeatureExtractor", "WhisperFeatureExtractor")
SHORTEST_RAW_S = 0.1  # wav2vec 2.0's convolutions need 25 ms, its positions some frames


class Features(NamedTuple):
    """A batch (batch, bands, frames), zero from each segment's own `frames` (batch,) on."""

    values: torch.Tensor
    frames: torch.Tensor


FrontEnd = Callable[[Sequence[Samples], torch.device], Features]


def front_end(name: str, settings: Mapping[str, Any]) -> FrontEnd:
    """A front end with its settings, as a checkpoint stores them.

    Raises:
        CheckpointError: no such front end, or settings that it does not have.
    """
    if name not in FRONT_ENDS:
        raise CheckpointError(f"front end {name!r}: this version has {', '.join(FRONT_ENDS)}")
    known = list(inspect.signature(FRONT_ENDS[name]).parameters)[2:]
    if wrong := sorted(set(settings) - set(known)):
        raise CheckpointError(
            f"front end {name} has no setting {wrong[0]!r}; it has {', '.join(known) or 'none'}"
        )
    return partial(FRONT_ENDS[name], **settings)


def pad(each: Sequence[torch.Tensor], device: torch.device) -> Features:
    """Features of segments, each (bands, frames), as one batch padded with zeros."""
    values = torch.nn.utils.rnn.pad_sequence([one.T for one in each], batch_first=True)
    frames = torch.tensor([one.shape[1] for one in each], device=device)
    return Features(values.transpose(1, 2).to(device), frames)


def _fit(samples: Samples, length: int) -> Samples:
    """Samples of exactly a length: padded with zeros at the end, or cut."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


@cache
def whisper_filters() -> torch.Tensor:
    """Whisper's mel filters (80, 201): those of librosa, which takes 130 MB to load."""
    filters: torch.Tensor = torchaudio.functional.melscale_fbanks(
        WHISPER_FFT // 2 + 1,
        0.0,
        WHISPER_RATE_HZ / 2,
        WHISPER_MELS,
        WHISPER_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters.T.contiguous()


def _whisper_one(samples: Samples, window: torch.Tensor, level: float | None) -> torch.Tensor:
    """Log-mel of one segment (80, frames of 10 ms), as whisper/audio.py computes it."""
    if len(samples) < WHISPER_FFT:  # the STFT mirrors 200 samples at each edge
        samples = np.pad(samples, (0, WHISPER_FFT - len(samples)))
    stft = torch.stft(
        torch.from_numpy(samples).to(window.device),
        WHISPER_FFT,
        WHISPER_HOP,
        window=window,
        return_complex=True,
    )
    stft = stft[:, :-1]
    # abs() takes a root first, which costs more than the STFT
    power = stft.real.square().addcmul_(stft.imag, stft.imag)
    mel = whisper_filters().to(window.device) @ power
    log = mel.clamp(min=1e-10 if level is None else FAINTEST).log10()
    log = log.clamp(min=log.max() - 8.0)
    if level is not None:
        loudness = log.amax(0)
        log = log - log[:, loudness > loudness.max() - ACTIVE].mean() + level
    return (log + 4.0) / 4.0


def whisper_log_mel(
    segments: Sequence[Samples], device: torch.device, *, level: float | None = None
) -> Features:
    """Whisper's 80 log-mel bands of segments at 16 kHz, each of its own length, zero-padded.

    With `level`, a segment's active frames are shifted to this mean of log10 power first, so that
    features do not depend on the recording level.
    """
    window = torch.hann_window(WHISPER_FFT, device=device)
    return pad([_whisper_one(samples, window, level) for samples in segments], device)


@cache
def _librosa_filters(rate_hz: int, n_fft: int, bands: int) -> NDArray[np.float32]:
    import librosa

    filters: NDArray[np.float32] = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=bands)
    return filters


def log_mel(
    segments: Sequence[Samples],
    device: torch.device,
    *,
    rate_hz: int = 22_050,
    length_s: float = 3.0,
    bands: int = 128,
    n_fft: int = 2_048,
    hop: int = 512,
    trim_db: float | None = None,
) -> Features:
    """Mel bands in dB below the segment's loudest bin, at least -80, by librosa's definitions.

    A segment is padded with silence to `length_s` (3 s: 130 frames). With `trim_db`, leading and
    trailing sound that much below the segment's loudest frame is trimmed first.
    """
    import librosa

    each = []
    for samples in segments:
        sound = samples
        if trim_db is not None:
            sound = librosa.effects.trim(_fit(samples, max(len(samples), n_fft)), top_db=trim_db)[0]
        stft = librosa.stft(_fit(sound, round(length_s * rate_hz)), n_fft=n_fft, hop_length=hop)
        mel = _librosa_filters(rate_hz, n_fft, bands) @ np.abs(stft) ** 2
        decibels = librosa.power_to_db(mel, ref=np.max, top_db=TOP_DB)
        each.append(torch.from_numpy(decibels.astype(np.float32)))
    return pad(each, device)


@cache
def _mfcc_transform(
    rate_hz: int, coefficients: int, bands: int, n_fft: int, hop: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    options = {"n_fft": n_fft, "hop_length": hop, "n_mels": bands}
    transform: Callable[[torch.Tensor], torch.Tensor] = torchaudio.transforms.MFCC(
        rate_hz, n_mfcc=coefficients, melkwargs=options
    )
    return transform


def mfcc(
    segments: Sequence[Samples],
    device: torch.device,
    *,
    rate_hz: int = 16_000,
    length_s: float = 3.0,
    coefficients: int = 40,
    bands: int = 64,
    n_fft: int = 1_024,
    hop: int = 512,
) -> Features:
    """MFCC by torchaudio's definitions, of segments padded with silence (3 s: 94 frames)."""
    transform = _mfcc_transform(rate_hz, coefficients, bands, n_fft, hop)
    length = round(length_s * rate_hz)
    return pad([transform(torch.from_numpy(_fit(one, length))) for one in segments], device)


def kaldi_fbank(
    segments: Sequence[Samples],
    device: torch.device,
    *,
    rate_hz: int = 16_000,
    bands: int = 128,
    frames: int = 1_024,
    mean: float = -4.2677393,
    std: float = 4.5689974,
) -> Features:
    """Kaldi's log filter banks of the Audio Spectrogram Transformer, 10 ms a frame.

    Padded with zeros to `frames` and then normalised as in github.com/YuanGongND/ast: by the mean
    and twice the deviation. The defaults are AudioSet's.
    """
    each = []
    for samples in segments:
        bank = torchaudio.compliance.kaldi.fbank(
            torch.from_numpy(_fit(samples, max(len(samples), KALDI_FRAME)))[None],
            sample_frequency=rate_hz,
            window_type="hanning",
            num_mel_bins=bands,
        )[:frames]
        bank = torch.nn.functional.pad(bank, (0, 0, 0, frames - len(bank)))
        each.append((bank.T - mean) / (2 * std))
    return pad(each, device)


def hugging_face(
    segments: Sequence[Samples], device: torch.device, *, extractor: Mapping[str, Any]
) -> Features:
    """A feature extractor of transformers, as its `preprocessor_config.json` describes it.

    Raw samples (of wav2vec 2.0 and similar models) are a single band; banks are (bands, frames).
    """
    import transformers

    kind = extractor["feature_extractor_type"]
    if kind not in EXTRACTORS:  # a name from a file: nothing else of transformers is called
        raise CheckpointError(f"feature extractor {kind}: expected one of {', '.join(EXTRACTORS)}")
    settings = {key: value for key, value in extractor.items() if not key.endswith("_type")}
    extract = getattr(transformers, kind)(**settings)
    rate_hz, name = extractor["sampling_rate"], extract.model_input_names[0]
    least = round(SHORTEST_RAW_S * rate_hz)
    each = []
    for samples in segments:
        long_enough = _fit(samples, max(len(samples), least))
        found = extract(long_enough, sampling_rate=rate_hz, return_tensors="pt")[name][0]
        if found.ndim == 1:
            found = found[None]
        elif kind == "ASTFeatureExtractor":  # (frames, bands)
            found = found.T
        each.append(found)
    return pad(each, device)


FRONT_ENDS: dict[str, Callable[..., Features]] = {
    "whisper_log_mel": whisper_log_mel,
    "log_mel": log_mel,
    "mfcc": mfcc,
    "kaldi_fbank": kaldi_fbank,
    "hugging_face": hugging_face,
}
