"""Silero's network for voice activity at 16 kHz, in torch.

The weights are those of Silero's package (MIT; the file's metadata has the licence): a short-time
Fourier transform as a convolution, four convolutions, an LSTM over the frames, one output. Many
frames in one call take half of the time of ONNX Runtime, which also reports to its vendor.
"""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from batch_ser.audio import Samples

WEIGHTS = Path(__file__).with_name("silero.safetensors")
EDGE = 64  # samples that are mirrored at the end of a frame
HOP = 128  # samples
BINS = 129  # of the spectrum; their real parts are followed by as many imaginary ones
STRIDES = (1, 2, 2, 1)  # of the convolutions: the 4 spectra of a frame become one column
UNITS = 128  # of the LSTM
LSTM = [f"lstm.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

State = tuple[Tensor, Tensor]  # hidden and cell, each (1, 1, 128)


@cache
def weights() -> dict[str, Tensor]:
    """Of all streams of a process, by name."""
    return load_file(WEIGHTS)


def first_state() -> State:
    """The state at the start of a stream."""
    return torch.zeros(1, 1, UNITS), torch.zeros(1, 1, UNITS)


def speech_probabilities(frames: Samples, state: State) -> tuple[Samples, State]:
    """Probabilities of speech (n,) in the next frames (n, 576) of a stream, and its next state.

    A frame is 512 samples behind the last 64 of the frame before.
    """
    with torch.inference_mode():
        columns = _encode(torch.from_numpy(frames))
        parts = [weights()[name] for name in LSTM]
        options = (True, 1, 0.0, False, False, True)  # biases, layers, ..., batch first
        hidden, *following = torch.lstm(columns[None], state, parts, *options)
        output = torch.relu(hidden[0]) @ weights()["output.weight"][0] + weights()["output.bias"]
        return torch.sigmoid(output[:, 0]).numpy(), (following[0], following[1])


def _encode(frames: Tensor) -> Tensor:
    """Frames (n, 576) to columns (n, 128)."""
    mirrored = frames[:, -EDGE - 1 : -1].flip(1)
    samples = torch.cat([frames, mirrored], dim=1)[:, None]
    spectrum = torch.conv1d(samples, weights()["stft.weight"], stride=HOP)
    x = (spectrum[:, :BINS].square() + spectrum[:, BINS:].square()).sqrt()
    for number, stride in enumerate(STRIDES):
        kernel, bias = (weights()[f"encoder.{number}.{name}"] for name in ("weight", "bias"))
        x = torch.relu(torch.conv1d(x, kernel, bias, stride=stride, padding=1))
    return x[:, :, 0]
