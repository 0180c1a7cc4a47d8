"""Names of recordings as the corpora have them, and writers of small labelled trees."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from batch_ser.audio.samples import Samples

# label, speaker, sex, language, intensity of each name
NAMES: dict[str, dict[str, tuple[str, str, str, str, str]]] = {
    "ravdess": {
        "Actor_12/03-01-06-02-01-02-12.wav": ("fearful", "ravdess-12", "female", "en", "strong"),
        "Actor_01/03-01-01-01-02-01-01.flac": ("neutral", "ravdess-01", "male", "en", "normal"),
        "Actor_24/03-02-02-01-02-01-24.wav": ("calm", "ravdess-24", "female", "en", "normal"),
    },
    "crema-d": {
        "1001_DFA_ANG_XX.wav": ("angry", "crema-d-1001", "male", "en", "unspecified"),
        "1002_IEO_FEA_LO.wav": ("fearful", "crema-d-1002", "female", "en", "low"),
        "1003_IEO_HAP_HI.wav": ("happy", "crema-d-1003", "", "en", "high"),
        "1040_ITH_SAD_X.wav": ("sad", "crema-d-1040", "", "en", "unspecified"),
    },
    "tess": {
        "OAF_angry/OAF_back_angry.wav": ("angry", "tess-oaf", "female", "en", "normal"),
        "OAF_neutral/OA_bite_neutral.wav": ("neutral", "tess-oaf", "female", "en", "normal"),
        "YAF_pleasant_surprised/YAF_youth_ps.wav": (
            "surprised",
            "tess-yaf",
            "female",
            "en",
            "normal",
        ),
    },
    "savee": {
        "DC_a01.wav": ("angry", "savee-dc", "male", "en", "normal"),
        "JK/sa02.wav": ("sad", "savee-jk", "male", "en", "normal"),
        "KL/su15.WAV": ("surprised", "savee-kl", "male", "en", "normal"),
    },
    "emo-db": {
        "03a01Fa.wav": ("happy", "emo-db-03", "male", "de", "normal"),
        "wav/16b10Lb.wav": ("bored", "emo-db-16", "female", "de", "normal"),
        "wav/08a02Ac.wav": ("fearful", "emo-db-08", "female", "de", "normal"),
    },
    "ased": {
        "05Angry/a5-04-02-01-29.opus": ("angry", "ased-29", "female", "am", "normal"),
        "04Sad/S4-04-02-02-09.opus": ("sad", "ased-09", "male", "am", "normal"),
    },
    "turev": {
        "Angry/1157_kz_acik.flac": ("angry", "turev-1157", "", "tr", "normal"),
        "Sad/7895_hl_ogul1.flac": ("sad", "turev-7895", "", "tr", "normal"),
    },
    "nemo": {
        "EB0_anger_1.opus": ("angry", "nemo-eb0", "", "pl", "normal"),
        "samples/MP0_surprised_64.wav": ("surprised", "nemo-mp0", "", "pl", "normal"),
        "wr0_Happiness_7.wav": ("happy", "nemo-wr0", "", "pl", "normal"),
    },
    "emospeech": {
        "bacho-angry-1562996360436-c7b431195e28.opus": (
            "angry",
            "emospeech-c7b431195e28",
            "",
            "",
            "normal",
        ),
        "help-fearful-??-3d9d3e0eb86e.opus": (
            "fearful",
            "emospeech-3d9d3e0eb86e",
            "",
            "",
            "normal",
        ),
        "House/bacho-safe-calm-20190709085906-"
        "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f.wav": (
            "calm",
            "",
            "",
            "",
            "normal",
        ),
    },
    "urdu": {
        "Angry/SM1_F10_A010.flac": ("angry", "urdu-sm1", "male", "ur", "normal"),
        "Sad/SF10_F2_S0100.wav": ("sad", "urdu-sf10", "female", "ur", "normal"),
    },
}
OTHER_NAMES = {
    "ravdess": (
        "03-01-09-01-01-01-01",
        "03-02-07-01-01-01-01",
        "03-01-01-01-01-01-25",
        "02-01-01-01-01-01-01",
        "03-01-01-01-01-01",
    ),
    "crema-d": ("1001_DFA_JOY_XX", "1001_DFA_ANG", "2001_DFA_ANG_XX"),
    "tess": ("OAF_back", "MAF_back_angry", "OAF_back_bored"),
    "savee": ("DC_b01", "XX_a01", "a01"),
    "emo-db": ("04a01Fa", "03a01Xa", "03a01F"),
    "ased": ("a4-04-02-01-29", "a5-04-02-03-29", "a5-04-02-01"),
    "turev": ("1157_xx_acik", "11_kz_acik", "1157_kz"),
    "nemo": ("EB0_angry_1", "EB0_anger", "EB_anger_1", "EB0_anger_1_2"),
    "emospeech": (
        "help-sad-1562996360436-c7b431195e28",
        "help-calm-1562996360436",
        "help-calm-15629-c7b431195e28",
        "help-calm-1562996360436-speaker",
    ),
    "urdu": ("SM1_F10_A010", "Happy/SM1_F10_A010", "Angry/S1_F10_A010", "Angry/SM1_F10"),
}


ENTRIES: list[dict[str, Any]] = [
    {
        "file": "a.wav",
        "label": "Anger",
        "speaker": "7",
        "sex": "F",
        "language": "en",
        "start_s": 0.1,
        "end_s": 0.4,
        "split": "train",
    },
    {
        "file": "a.wav",
        "label": "neutral",
        "speaker": "7",
        "sex": "female",
        "language": "en",
        "start_s": None,
        "end_s": None,
        "split": "train",
    },
    {
        "file": "sub/b.wav",
        "label": "ang",
        "speaker": None,
        "sex": None,
        "language": None,
        "start_s": 0.0,
        "end_s": 0.5,
        "split": "test",
    },
    {
        "file": "sub/b.wav",
        "label": "neu",
        "speaker": "9",
        "sex": "m",
        "language": "de",
        "start_s": 0.0,
        "end_s": 0.25,
        "split": "dev",
    },
    {
        "file": "c.wav",
        "label": "neu",
        "speaker": "9",
        "sex": "m",
        "language": "de",
        "start_s": None,
        "end_s": None,
        "split": "test",
    },
]


def record(path: Path, speech: Samples, number: int) -> None:
    """The number-th half second of real speech, after the silence at its start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.round(speech[(number + 3) * 8_000 :][:8_000] * 20_000).astype(np.int16)
    kind = ("OGG", "OPUS") if path.suffix == ".opus" else (path.suffix[1:].upper(), "PCM_16")
    soundfile.write(path, samples, 16_000, format=kind[0], subtype=kind[1])


def write_csv(path: Path, entries: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(entries[0]))
        writer.writeheader()
        writer.writerows(entries)
    return path
