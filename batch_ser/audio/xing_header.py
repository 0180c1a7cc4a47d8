"""The Xing header of an MP3, without which libsndfile does not read it to its end.

libsndfile takes the number of frames from the first frame's Xing header, and stops there also when
another file was joined behind it. Without that header it guesses from the first frame's bit rate,
and reads a half or a third of a file with a variable rate. FFmpeg reads both to their end.
"""

SEARCHED_BYTES = 200  # of the first frame, among which a Xing header begins
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"\0\0\0\0")  # what may follow the last frame


def xing_header_covers_file(path: str) -> bool:
    """Whether a Xing header states this MP3's frames and bytes, and nothing but tags follows."""
    with open(path, "rb") as file:
        head = file.read(10)
        start = 0
        if head.startswith(b"ID3"):
            start = 10 + _synchsafe(head[6:10])
        file.seek(start)
        frame = file.read(SEARCHED_BYTES)
        at = max(frame.find(b"Xing"), frame.find(b"Info"))
        stated = frame[at + 7 : at + 16]
        if not 0 < at <= 40 or len(stated) < 9 or stated[0] & 3 != 3:
            return False
        file.seek(start + int.from_bytes(stated[5:9], "big"))
        rest = file.read(16)
        return not rest or rest.startswith(TAGS)


def _synchsafe(size: bytes) -> int:
    """The size of an ID3 tag, which uses seven bits of each byte (ID3v2, 6.2)."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value
