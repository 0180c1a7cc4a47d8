"""What labels do not tell, in sentences: too few of them, or no weights."""

from collections.abc import Iterator

from jobs.judge.judged import Judged

FEW_SEGMENTS, FEW_OF_A_LABEL, FEW_RECORDINGS = 50, 10, 10
NO_WEIGHTS = (
    "The labels have no weights: all segments count the same, and shares are those of the labelled "
    "segments. They are those of the archive only if the segments were drawn from it at random, "
    "all with the same probability; `batch-ser sample` draws them, and states weights."
)


def notes(judged: Judged) -> list[str]:
    """Sentences for a reader who would conclude too much."""
    return [*_few(judged), *_by_label(judged), *_labels(judged)]


def _few(judged: Judged) -> Iterator[str]:
    segments = len(judged.weights)
    if segments < FEW_SEGMENTS:
        yield (
            f"Only {segments} segments are labelled: too few to tell how good the model is, or how "
            f"frequent an emotion. Label {FEW_SEGMENTS} at the least, better some hundreds."
        )
    if judged.recordings < FEW_RECORDINGS:
        count = judged.recordings
        yield (
            f"The labels are of {count} recording{'s' if count > 1 else ''}: how other recordings "
            "differ from these cannot be known."
        )
    if not judged.is_weighted:
        yield NO_WEIGHTS


def _by_label(judged: Judged) -> Iterator[str]:
    counts = dict(zip(judged.labels, judged.known.sum(0), strict=True))
    if none := [label for label, count in counts.items() if not count]:
        yield (
            f"No segment is labelled {', '.join(none)}: nothing is known of the recall, and UAR is "
            "the mean over the other labels."
        )
    few = [f"{label} ({n:g})" for label, n in counts.items() if 0 < n < FEW_OF_A_LABEL]
    if few:
        yield (
            f"Fewer than {FEW_OF_A_LABEL} segments are labelled {', '.join(few)}: the recall, and "
            "with it UAR, can hardly be known."
        )


def _labels(judged: Judged) -> Iterator[str]:
    if judged.others:
        yield (
            f"Labels that the checkpoint does not have ({', '.join(judged.others)}) are in the "
            "confusion, precision and prevalence, and not in recall, UAR and calibration."
        )
    if judged.problems:
        reasons = ", ".join(f"{each} {count:,}" for each, count in judged.problems.items())
        yield f"{judged.problems.total():,} rows of the labels fit no segment: {reasons}."
