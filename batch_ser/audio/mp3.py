"""Which MP3 files libsndfile reads to their end.

It believes the number of frames that the first one's Xing header states, and stops there also
when another file was joined behind it. Without that header it guesses from the first frame's bit
rate, and of a file with a variable rate it reads a half or a third. FFmpeg reads both to their end.
"""

SAMPLES_BEFORE = 200  # bytes of a frame among which a Xing header begins
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"\0\0\0\0")  # what may follow the last frame


def states_its_length(path: str) -> bool:
    """Whether a Xing header tells this MP3's frames and bytes, and nothing but tags follows."""
    with open(path, "rb") as file:
        head = file.read(10)
        start = 0
        if head.startswith(b"ID3"):
            start = 10 + int.from_bytes(_seven_bits(head[6:10]), "big")
        file.seek(start)
        frame = file.read(SAMPLES_BEFORE)
        at = max(frame.find(b"Xing"), frame.find(b"Info"))
        stated = frame[at + 7 : at + 16]
        if not 0 < at <= 40 or len(stated) < 9 or stated[0] & 3 != 3:
            return False
        file.seek(start + int.from_bytes(stated[5:9], "big"))
        rest = file.read(16)
        return not rest or rest.startswith(TAGS)


def _seven_bits(size: bytes) -> bytes:
    """ID3 writes its length in seven bits of each byte."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value.to_bytes(4, "big")
