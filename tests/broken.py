"""Damaged and wrong files, and the row of each."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from encoded import ffmpeg

from batch_ser.audio.samples import Samples


def wav(
    rate_hz: int = 8_000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    data: bytes = b"\x01\x02" * 1_000,
    stated_size: int | None = None,
) -> bytes:
    """A WAV file, field by field."""
    width = channels * bits // 8
    fmt = struct.pack(
        "<HHIIHH", tag, channels, rate_hz, rate_hz * width & 0xFFFFFFFF, width & 0xFFFF, bits
    )
    size = len(data) if stated_size is None else stated_size
    riff = struct.pack("<I", 36 + size & 0xFFFFFFFF)
    return b"RIFF" + riff + b"WAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", size) + data


def au(rate_hz: int, channels: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, 2_000, 3, rate_hz, channels) + b"\x01\x02" * 1_000


def streaminfo(flac: bytes, rate_hz: int = 16_000, channels: int = 1, total: int = 0) -> bytes:
    """A FLAC with other numbers in its header; 16 bits."""
    numbers = rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | total
    return flac[:18] + numbers.to_bytes(8, "big") + flac[26:]


def floats(values: Samples) -> bytes:
    return wav(rate_hz=16_000, bits=32, tag=3, data=values.astype("<f4").tobytes())


def silence(path: Path, minutes: int) -> None:
    """Digital silence, 16 kHz; in parts, as libsndfile's Opus encoder overflows its stack else."""
    container, subtype = {".opus": ("OGG", "OPUS"), ".flac": ("FLAC", "PCM_16")}[path.suffix]
    with soundfile.SoundFile(path, "w", 16_000, 1, subtype, format=container) as file:
        for _ in range(60 * minutes):
            file.write(np.zeros(16_000, np.float32))


def with_negative_length(path: Path, samples: Samples) -> bytes:
    """A W64 in GSM with a negative length: libsndfile decodes 1,500 hours out of nothing."""
    soundfile.write(path, samples, 8_000, subtype="GSM610")
    data = bytearray(path.read_bytes())
    data[data.index(b"data") + 16 + 7] = 0x80
    return bytes(data)


def film_without_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))


@dataclass(frozen=True)
class Broken:
    """A file, and its row: failed with a reason, or `ok` or `empty` with a note."""

    name: str
    content: bytes | Callable[[Path], None]
    outcome: str
    expected: str = ""  # in the message, or the note

    def write(self, folder: Path) -> None:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)


def broken(clip: Samples, scratch: Path) -> list[Broken]:
    """All of them; `clip` is real speech at 16 kHz."""

    def encoded(ending: str, samples: Samples = clip, rate_hz: int = 16_000) -> bytes:
        path = scratch / f"whole.{ending}"
        soundfile.write(path, samples, rate_hz, format="OGG" if ending == "opus" else None)
        return path.read_bytes()

    def by_ffmpeg(codec: str, ending: str) -> bytes:
        path = scratch / f"whole.{ending}"
        ffmpeg(codec)(path, clip[:, None], 16_000)
        return path.read_bytes()

    flac, ogg, mp3 = (encoded(ending) for ending in ("flac", "ogg", "mp3"))
    long = {ending: encoded(ending, np.tile(clip, 6)) for ending in ("ogg", "opus")}  # many pages
    aiff, caf, w64 = (encoded(ending) for ending in ("aiff", "caf", "w64"))
    m4a, webm, aac = by_ffmpeg("aac", "m4a"), by_ffmpeg("libopus", "webm"), by_ffmpeg("aac", "aac")
    pcm = encoded("wav")
    wild = clip.copy()
    wild[1_000:1_003] = np.nan, np.inf, -np.inf
    wild[2_000] = 1e30
    noise = np.random.default_rng(3).bytes(4_000)
    two = np.stack([clip, clip[::-1]], axis=1)
    return [
        Broken("zero.wav", b"", "no_audio", "0 bytes"),
        Broken("text.mp3", b"Dear Sir, this is a letter.\n" * 40, "unsupported", "holds text"),
        Broken("text.wav", "Grüße aus Köln\n".encode() * 40, "unsupported", "holds text"),
        Broken("utf16.mp3", ("A letter.\n" * 40).encode("utf-16"), "unsupported", "holds text"),
        Broken("page.m4a", b"%PDF-1.7\n" + noise, "unsupported", "PDF"),
        Broken("archive.wav", b"PK\x03\x04" + noise, "unsupported", "ZIP"),
        Broken("picture.mp3", b"\xff\xd8\xff\xe0" + noise, "unsupported", "an image"),
        Broken("list.mp3", b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n", "unsupported", "text"),
        Broken("noise.wav", noise, "unsupported", "no known audio format"),
        Broken("folder.wav", lambda path: path.mkdir(), "not_a_file", "folder"),
        Broken("film.mp4", film_without_sound, "no_audio", "no sound"),
        Broken("nothing.wav", wav(data=b""), "no_audio", "no sample"),
        Broken("nothing.flac", flac[:42], "no_audio", "no sample"),
        Broken("nothing.ogg", ogg[: ogg.index(b"OggS", 4)], "corrupt", "Ogg"),
        Broken("nothing.au", au(8_000, 1)[:24], "no_audio", "no sample"),
        Broken("little.mp3", mp3[:100], "corrupt", "too short or damaged"),
        Broken("nothing.amr", b"#!AMR\n", "no_audio"),
        Broken("nothing.m4a", m4a[:32], "corrupt", "MP4"),
        Broken("half.wav", pcm[: len(pcm) // 2], "ok", "truncated"),
        Broken("half.flac", flac[: len(flac) // 2], "ok", "truncated"),
        Broken("half.ogg", long["ogg"][: len(long["ogg"]) // 2], "ok", "truncated"),
        Broken("half.opus", long["opus"][: len(long["opus"]) // 2], "ok", "truncated"),
        Broken("half.mp3", mp3[: len(mp3) // 2], "ok", "truncated"),
        Broken("half.aiff", aiff[: len(aiff) // 2], "ok", "truncated"),
        Broken("half.caf", caf[: len(caf) // 2], "ok", "truncated"),
        Broken("half.w64", w64[: len(w64) // 2], "ok", "truncated"),
        Broken("half.webm", webm[: len(webm) // 2], "ok", "truncated"),
        Broken("half.aac", aac[: len(aac) // 2], "ok", "truncated"),
        Broken("half.m4a", m4a[: len(m4a) // 2], "corrupt", "MP4"),  # its index is at the end
        Broken("4gib.wav", wav(stated_size=0xFFFFFFF0), "empty", "truncated"),
        Broken("2gib.wav", wav(stated_size=0x7FFFFFFE), "empty", "truncated"),
        Broken("2gframes.flac", streaminfo(flac, total=2**31 - 1)[:20_000], "ok", "truncated"),
        Broken("64gframes.flac", streaminfo(flac, total=2**36 - 1), "ok", "truncated"),
        Broken(
            "petabytes.w64", with_negative_length(scratch / "gsm.w64", clip[::2]), "ok", "truncated"
        ),
        Broken("rate0.wav", wav(0), "bad_rate", "0"),
        Broken("rate0.flac", streaminfo(flac, 0), "bad_rate", "0"),
        Broken("rate1.wav", wav(1), "bad_rate", "states 1 samples a second"),
        Broken("rate1.flac", streaminfo(flac, 1), "bad_rate", "states 1 samples a second"),
        Broken("rate10m.wav", wav(10_000_000), "bad_rate", "10000000"),
        Broken("rate4g.wav", wav(2**32 - 1), "bad_rate"),
        Broken("rate10m.au", au(10_000_000, 1), "bad_rate", "10000000"),
        Broken("channels0.wav", wav(channels=0), "bad_channels", "zero"),
        Broken("channels0.au", au(8_000, 0), "bad_channels", "zero"),
        Broken("channels255.wav", wav(channels=255), "bad_channels", "255 channels, expected 1"),
        Broken("channels65535.wav", wav(channels=65_535), "bad_channels", "Too many"),
        Broken("channels255.au", au(8_000, 255), "bad_channels", "255 channels, expected 1"),
        Broken("tag.wav", wav(tag=0x1234), "unsupported", "unknown encoding"),
        Broken("bits.wav", wav(bits=0), "unsupported", "unknown encoding"),
        Broken("wild.wav", floats(wild), "ok", "damaged"),
        Broken("nan.wav", floats(np.full(16_000, np.nan, np.float32)), "ok", "damaged"),
        Broken("huge.wav", floats(np.full(16_000, 1e30, np.float32)), "ok"),
        Broken("infinite.wav", floats(np.full(16_000, np.inf, np.float32)), "ok", "damaged"),
        Broken("subnormal.wav", floats(np.full(16_000, 1e-40, np.float32)), "ok"),
        Broken("one.wav", wav(data=b"\x00\x10"), "empty"),
        Broken("10ms.wav", wav(data=bytes(160)), "empty"),
        Broken("zeros.wav", wav(data=bytes(16_000 * 2)), "ok"),
        Broken("dc.wav", wav(data=b"\x00\x40" * 16_000), "ok"),
        Broken("silence.flac", lambda path: silence(path, 5), "ok"),
        Broken("silence.opus", lambda path: silence(path, 5), "ok"),
        Broken("chain.ogg", ogg + encoded("ogg", clip[::-1]), "ok"),
        Broken("rates.ogg", ogg + encoded("ogg", clip, 44_100), "ok"),
        Broken("channels.ogg", ogg + encoded("ogg", two), "ok", "truncated"),
        Broken("rates.mp3", mp3 + encoded("mp3", clip, 44_100), "ok"),
        Broken("rates.flac", flac + encoded("flac", clip, 44_100), "ok", "truncated"),
        Broken("behind.wav", pcm + noise * 20, "ok", "truncated"),
    ]
