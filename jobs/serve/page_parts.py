"""A prediction as HTML: bars of every emotion, and the segments on a time line with the wave form.

Every text is escaped: names of files are what clients send.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from batch_ser.audio import MIXED
from jobs.serve.preview import Preview
from jobs.serve.refusals import Refused

COLOURS = {  # as in the report
    "neutral": "#98a2b0",
    "calm": "#56b3a4",
    "happy": "#d8a513",
    "sad": "#4a7fd6",
    "angry": "#d4403a",
    "fearful": "#9a5fc7",
    "disgust": "#7c8f2f",
    "surprised": "#e08039",
}
OTHERS = ("#2f9cc0", "#b05c8a", "#6d6fd0", "#a0764a")
WIDTH, HEIGHT = 600, 64  # of a wave form
BAND = 22  # the height of the segments of a channel, below it
GAP = 1.5  # between segments that follow each other

# a click, Enter or Space on a segment plays it and stops at its end; a result has one <audio>
PLAYING = """
const play = (event) => {
  const segment = event.target.closest('[data-start]');
  if (!segment || (event.type === 'keydown' && !['Enter', ' '].includes(event.key))) return;
  event.preventDefault();  // or Space would scroll the page
  const audio = segment.closest('article').querySelector('audio');
  if (!audio) return;
  const end = Number(segment.dataset.end);
  audio.ontimeupdate = () => {
    if (audio.currentTime >= end) { audio.pause(); audio.ontimeupdate = null; }
  };
  audio.currentTime = Number(segment.dataset.start);
  audio.play();
};
element.addEventListener('click', play);
element.addEventListener('keydown', play);
"""
STYLE = """
article { border: 1px solid #8886; border-radius: 8px; padding: 12px 16px; margin: 0 0 16px }
h2 { font-size: 1.1rem; margin: 0 0 8px; overflow-wrap: anywhere }
.bar { display: grid; grid-template-columns: 6rem 1fr 4rem; gap: 8px; align-items: center;
       margin: 2px 0 }
.bar i { display: block; height: 12px; border-radius: 3px; min-width: 1px }
.bar span:last-child { text-align: right; font-variant-numeric: tabular-nums }
svg { width: 100%; height: auto; margin: 12px 0 4px; display: block }
[data-start] { cursor: pointer }
audio { width: 100% }
.refused { color: var(--error-text-color, #b3261e) }
"""


def article(prediction: Mapping[str, Any], preview: Preview) -> str:
    """One result."""
    labels = list(prediction["all_emotions"])
    name = escape(prediction["filename"])
    if prediction["emotion"] is None:
        verdict = "<p>No speech was found in it, so there is no emotion.</p>"
    else:
        confidence = 100 * prediction["confidence"]
        verdict = f"<p><b>{escape(prediction['emotion'])}</b>, {confidence:.1f} %</p>"
    bars = "".join(_bar(label, labels, prediction["all_emotions"][label]) for label in labels)
    sound = (
        f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{preview.mp3}"></audio>'
    )
    line = _time_line(prediction["segments"], preview, labels)
    by_channel = _channels(prediction["segments"], labels)
    return f"<article><h2>{name}</h2>{verdict}{bars}{line}{by_channel}{sound}</article>"


def refused_article(refused: Refused, filename: str) -> str:
    """A file that has no prediction, with the reason."""
    return (
        f"<article><h2>{escape(filename)}</h2>"
        f'<p class="refused">{escape(refused.reason)}: {escape(refused.message)}</p></article>'
    )


def _colour(label: str, labels: Sequence[str]) -> str:
    return COLOURS.get(label) or OTHERS[list(labels).index(label) % len(OTHERS)]


def _bar(label: str, labels: Sequence[str], share: float) -> str:
    return (
        f'<div class="bar"><span>{escape(label)}</span>'
        f'<i style="width:{100 * share:.1f}%;background:{_colour(label, labels)}"></i>'
        f"<span>{100 * share:.1f} %</span></div>"
    )


def _channels(segments: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    """The emotion of each channel, if there are several, in the order of the time line."""
    numbers = _numbers(segments)
    if len(numbers) < 2:
        return ""
    texts = []
    for number in numbers:
        own = [each for each in segments if each["channel"] == number]
        shares = np.average(
            [[each["all_emotions"][label] for label in labels] for each in own],
            weights=[each["end_s"] - each["start_s"] for each in own],
            axis=0,
        )
        best = labels[int(shares.argmax())]
        texts.append(f"channel {number}: <b>{escape(best)}</b>, {100 * shares.max():.1f} %")
    return f"<p>Segments from above: {'; '.join(texts)}</p>"


def _numbers(segments: Sequence[Mapping[str, Any]]) -> list[int]:
    """The channels that have segments."""
    return sorted({int(each["channel"]) for each in segments})


def _time_line(
    segments: Sequence[Mapping[str, Any]], preview: Preview, labels: Sequence[str]
) -> str:
    step = WIDTH / max(len(preview.peaks), 1)
    middle = HEIGHT / 2
    wave = "".join(
        f"M{at * step:.1f} {middle * (1 - peak):.1f}V{middle * (1 + peak):.1f}"
        for at, peak in enumerate(preview.peaks)
    )
    scale = WIDTH / max(preview.duration_s, 1e-3)
    rows = _numbers(segments) or [MIXED]
    size = f"{WIDTH} {HEIGHT + BAND * len(rows)}"
    parts = "".join(_segment(each, scale, rows.index(each["channel"]), labels) for each in segments)
    return (
        f'<svg viewBox="0 0 {size}" role="group" aria-label="segments">'
        f'<path d="{wave}" stroke="#8898" stroke-width="{step:.2f}" fill="none"/>{parts}</svg>'
    )


def _segment(segment: Mapping[str, Any], scale: float, row: int, labels: Sequence[str]) -> str:
    start, end = float(segment["start_s"]), float(segment["end_s"])
    emotion, share = str(segment["emotion"]), 100 * float(segment["confidence"])
    place = "" if segment["channel"] == MIXED else f"channel {segment['channel']}, "
    text = f"{place}{start:.1f} to {end:.1f} s: {emotion}, {share:.1f} %"
    width = max((end - start) * scale - GAP, 1)
    fill = _colour(emotion, labels) if emotion in labels else OTHERS[0]
    return (
        f'<rect data-start="{start:.3f}" data-end="{end:.3f}" tabindex="0" role="button" '
        f'aria-label="{escape(text)}" x="{start * scale:.1f}" y="{HEIGHT + BAND * row + 2}" '
        f'width="{width:.1f}" height="{BAND - 2}" fill="{fill}"><title>{escape(text)}</title>'
        "</rect>"
    )
