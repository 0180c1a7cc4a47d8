"""Frames of MP3, AAC and AC-3 without a container, recognised by several headers in a row.

Two bytes at the start of a file prove nothing, since telephone audio holds them by chance. Each
header gives the size of its frame, and so where the next header must be.
"""

import re
from collections.abc import Callable

KBIT_S = {  # of MPEG audio by version (1, or 2 and 2.5) and layer; index 0 is free, 15 forbidden
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = (44_100, 48_000, 32_000)  # of version 1; half and a quarter of it for 2 and 2.5
AC3_KBIT_S = (*KBIT_S[1, 3], 384, 448, 512, 576, 640)
AC3_RATES_HZ = (48_000, 44_100, 32_000)

FrameSize = Callable[[bytes], int]  # frame header to bytes of the frame; 0 if it is no header


def mpeg_frame_size(head: bytes) -> int:
    """MPEG audio, layers I to III (ISO 11172-3, 13818-3; and version 2.5)."""
    version, layer, index, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2]
    if version == 1 or layer == 4 or index in (0, 15) or rate >> 2 & 3 == 3:
        return 0
    bit_s = 1000 * KBIT_S[(1 if version == 3 else 2), layer][index - 1]
    rate_hz = RATES_HZ[rate >> 2 & 3] // {3: 1, 2: 2, 0: 4}[version]
    padding = rate >> 1 & 1
    if layer == 1:
        return (12 * bit_s // rate_hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bit_s // rate_hz + padding


def adts_frame_size(head: bytes) -> int:
    """AAC with a header for each frame (ISO 13818-7)."""
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if head[2] >> 2 & 15 < 13 else 0


def latm_frame_size(head: bytes) -> int:
    """AAC in LOAS (ISO 14496-3)."""
    return 3 + ((head[1] & 31) << 8 | head[2])


def ac3_frame_size(head: bytes) -> int:
    """AC-3 and E-AC-3 (ETSI TS 102 366)."""
    if head[5] >> 3 > 10:
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, index = head[4] >> 6, head[4] & 63
    if rate == 3 or index >= 2 * len(AC3_KBIT_S):
        return 0
    words = AC3_KBIT_S[index // 2] * 96_000 // AC3_RATES_HZ[rate]
    return 2 * (words + (index & 1 if rate == 1 else 0))


def begins_with_frames(data: bytes, sync: bytes, frame_size: FrameSize, count: int) -> bool:
    """Whether data begin with `count` whole frames, one behind the other; `sync` is a pattern."""
    position = 0
    for _ in range(count):
        head = data[position : position + 6]
        if not re.match(sync, head, re.DOTALL) or len(head) < 6 or not frame_size(head):
            return False
        position += frame_size(head)
    return True
