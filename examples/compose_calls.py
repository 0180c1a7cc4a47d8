"""Compose the example calls from the free prompts of Debian's asterisk-core-sounds-en-wav.

    apt-get download asterisk-core-sounds-en-wav
    dpkg -x asterisk-core-sounds-en-wav_*.deb prompts
    cd examples
    python compose_calls.py ../prompts/usr/share/asterisk/sounds/en_US_f_Allison calls

Prompts are 8 kHz mono. A call is a list of turns: (channel, pause before it in seconds, prompt).
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 8_000
AGENT, CUSTOMER = 0, 1
Turn = tuple[int, float, str]

CALLS: dict[str, tuple[str, str, int, list[Turn]]] = {
    "support-ulaw.wav": (
        "WAV",
        "ULAW",
        2,
        [
            (AGENT, 0.4, "demo-congrats"),
            (CUSTOMER, 1.2, "demo-nogo"),
            (AGENT, 0.9, "tt-allbusy"),
            (CUSTOMER, 1.5, "vm-goodbye"),
        ],
    ),
    "voicemail-gsm.wav": (
        "WAV",
        "GSM610",
        1,
        [
            (AGENT, 0.8, "vm-intro"),
            (AGENT, 2.5, "vm-mailboxfull"),
            (AGENT, 1.5, "vm-goodbye"),
        ],
    ),
    "queue.mp3": (
        "MP3",
        "MPEG_LAYER_III",
        2,
        [
            (AGENT, 0.5, "queue-youarenext"),
            (CUSTOMER, 1.0, "agent-incorrect"),
            (AGENT, 0.8, "queue-periodic-announce"),
            (CUSTOMER, 2.0, "tt-weasels"),
        ],
    ),
    "announcement.opus": (
        "OGG",
        "OPUS",
        1,
        [
            (AGENT, 0.5, "demo-moreinfo"),
            (AGENT, 1.2, "demo-thanks"),
            (AGENT, 1.0, "ss-noservice"),
        ],
    ),
}


def compose(prompts: Path, turns: list[Turn], channels: int) -> NDArray[np.float32]:
    """Samples (frames, channels): each turn on its channel, one after the other."""
    parts = []
    for channel, pause_s, prompt in turns:
        speech, rate_hz = soundfile.read(prompts / f"{prompt}.wav", dtype="float32")
        assert (rate_hz, speech.ndim) == (RATE_HZ, 1)
        part = np.zeros((round(pause_s * RATE_HZ) + len(speech), channels), np.float32)
        part[-len(speech) :, channel] = speech
        parts.append(part)
    parts.append(np.zeros((RATE_HZ, channels), np.float32))
    return np.concatenate(parts)


def main(prompts: Path, out: Path) -> None:
    """Write every call in its encoding."""
    for name, (container, encoding, channels, turns) in CALLS.items():
        samples = compose(prompts, turns, channels)
        soundfile.write(out / name, samples, RATE_HZ, subtype=encoding, format=container)
        print(f"{name}: {len(samples) / RATE_HZ:.1f} s, {channels} channels, {encoding}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
