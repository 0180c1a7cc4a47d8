"""Telephone prompts in three languages: read, neutral or friendly, 8 kHz mono WAV, CC BY-SA 3.0."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LANGUAGES = {"en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June"}
SOUNDS = Path("usr/share/asterisk/sounds")
SILENCE = "silence"  # a folder of recordings without any sound
NOT_SPEECH = {
    "ascending-2tone",
    "beep",
    "beeperr",
    "confbridge-join",
    "confbridge-leave",
    "descending-2tone",
    "tt-monkeys",
}


def prompts(work: Path) -> Path:
    """`work/asterisk-core-sounds`: folders `en`, `es` and `fr` of prompts, made once.

    They are copied from the folder that the environment variable PROMPTS names (it holds the
    folders `en_US_f_Allison`, `es_MX_f_Allison` and `fr_CA_f_June`), else from Debian's packages
    asterisk-core-sounds-{en,es,fr}-wav where they are installed, else from the same packages,
    downloaded by apt-get and unpacked into a temporary folder. `digits/1.wav` is copied to
    `digits-1.wav`. Tones and silence are left out. Ends the program where there is no source.
    """
    out = work / "asterisk-core-sounds"
    if out.is_dir():
        return out
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        sounds = _sounds(Path(temporary))
        copies = Path(temporary) / "asterisk-core-sounds"
        for language, voice in LANGUAGES.items():
            _copy(sounds / voice, copies / language)
        copies.rename(out)  # last: the folder exists only when it is complete
    return out


def _sounds(temporary: Path) -> Path:
    """The folder that holds the folders of all voices."""
    if "PROMPTS" in os.environ:
        sounds = Path(os.environ["PROMPTS"])
        if missing := _missing(sounds):
            sys.exit(f"PROMPTS={sounds}: found no folder {', '.join(missing)}; expected all three")
        return sounds
    installed = Path("/") / SOUNDS
    return _downloaded(temporary) if _missing(installed) else installed


def _missing(sounds: Path) -> list[str]:
    return [voice for voice in LANGUAGES.values() if not (sounds / voice).is_dir()]


def _downloaded(temporary: Path) -> Path:
    """The sounds of the three packages, unpacked below `temporary`."""
    packages = [f"asterisk-core-sounds-{language}-wav" for language in LANGUAGES]
    try:
        subprocess.run(["apt-get", "download", *packages], cwd=temporary, check=True)
        for archive in sorted(temporary.glob("*.deb")):
            subprocess.run(["dpkg", "-x", archive, temporary], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"no telephone prompts: {error}; install {' '.join(packages)} (apt-get update may "
            "be needed first), or set PROMPTS to a folder that holds "
            f"{', '.join(LANGUAGES.values())}"
        )
    return temporary / SOUNDS


def _copy(voice: Path, out: Path) -> None:
    """Copy the speech of a voice into one folder."""
    out.mkdir(parents=True)
    for path in sorted(voice.rglob("*.wav")):
        inside = path.relative_to(voice)
        if SILENCE in inside.parts[:-1] or path.stem in NOT_SPEECH:
            continue
        copy = out / "-".join(inside.parts)
        assert not copy.exists(), f"two prompts are called {copy.name}"
        shutil.copyfile(path, copy)
