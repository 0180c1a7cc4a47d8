"""Options that several commands share, or that have long descriptions."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from batch_ser.audio import Reading

Input = Annotated[
    list[str],
    typer.Option("--input", "-i", help="Folder, file, glob in quotes, or manifest; repeatable."),
]
Out = Annotated[
    str, typer.Option("--out", "-o", help="FILE.parquet, or a folder for tables in several files.")
]
Model = Annotated[
    str,
    typer.Option(
        help="A shipped checkpoint (see `batch-ser models`), FILE.safetensors, "
        "FILE.onnx, or hf:DIR."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SegmentBy = Annotated[
    str | None,
    typer.Option(
        "--segment",
        help="speech (default), window, whole, or given: by a manifest with the columns start_s "
        "and end_s, where it is the default.",
    ),
]
MinS = Annotated[
    float | None,
    typer.Option("--min-s", help="Shorter segments are not scored; default 0.5, of given 0.01."),
]
MaxS = Annotated[float | None, typer.Option("--max-s", help="Longer speech is cut where quiet.")]
WindowS = Annotated[float | None, typer.Option("--window-s", help="Length of a window.")]
HopS = Annotated[
    float | None, typer.Option("--hop-s", help="Window to window; default: its length.")
]
Channels = Annotated[
    str,
    typer.Option(
        help="split: each channel, but one signal on all of them once; mix: all as one; or numbers "
        "such as 0 or 0,1."
    ),
]
Roles = Annotated[
    str | None,
    typer.Option("--roles", help="Who speaks on which channel, such as 0=agent,1=customer."),
]
Score = Annotated[
    str | None,
    typer.Option(
        "--score",
        help="Only this role; the speech of others is detected, and nothing more is computed.",
    ),
]
RawEncoding = Annotated[
    str | None,
    typer.Option(
        "--raw-encoding",
        help="How files without a header are read whose ending does not determine it: ulaw, alaw, "
        "pcm16 or gsm.",
    ),
]
RawRate = Annotated[
    int, typer.Option("--raw-rate", help="Samples a second of files without a header.")
]
RawChannels = Annotated[
    int, typer.Option("--raw-channels", help="Channels of files without a header.")
]
MaxHours = Annotated[float, typer.Option("--max-hours", help="Longer recordings fail: too_long.")]
Include = Annotated[
    list[str] | None, typer.Option(help="Only names like GLOB; '*' takes every file.")
]
Exclude = Annotated[list[str] | None, typer.Option(help="No names like GLOB.")]
Root = Annotated[
    str | None, typer.Option(help="Names in the tables start here, and stay below it.")
]
Limit = Annotated[int | None, typer.Option(help="Only the first N inputs.")]
BatchS = Annotated[float, typer.Option(help="Seconds of audio in a batch.")]
Embeddings = Annotated[
    bool, typer.Option("--embeddings", help="Also store what the network's head receives.")
]
Adapt = Annotated[
    str | None,
    typer.Option(
        "--adapt",
        help="Whose offset is subtracted: none (the usual one), archive (default), recording (each "
        "channel of each), or a column of a manifest or of --name-pattern.",
    ),
]
Expect = Annotated[
    str | None,
    typer.Option(
        "--expect",
        help="The expected mixture of emotions: natural (mostly neutral; default), balanced (all "
        "labels equally often, as in acted corpora), or LABEL=SHARE,... (the rest evenly).",
    ),
]
AdaptFrom = Annotated[
    str | None,
    typer.Option("--adapt-from", help="Take the archive's offset over from this earlier output."),
]
NamePattern = Annotated[
    str | None,
    typer.Option(
        "--name-pattern",
        help="Columns from the names of files, such as {day}/{agent}_{queue}_{call_id}: {name} is "
        "anything but /; re: begins a regular expression.",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        help="KIND:PATH with KIND ravdess, crema-d, tess, savee, emo-db, ased, turev, nemo, "
        "emospeech, urdu, folder, manifest or ordinary (a folder of speech without emotion to "
        "speak of, only to train); repeatable."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(help="Labels to pick or merge: happy,sad | positive=happy,... | six | three."),
]
AllowDuplicates = Annotated[
    bool, typer.Option("--allow-duplicates", help="Keep copies of the same recording.")
]


def reading(encoding: str | None, rate_hz: int, channels: int, max_hours: float) -> "Reading":
    """How recordings are read, by the options.

    Raises:
        UsageError: one of them is out of its range.
    """
    from batch_ser.audio import RawSettings, Reading

    return Reading(RawSettings(encoding, rate_hz, channels), max_hours)


def segment_options(
    method: str | None,
    window_s: float | None,
    hop_s: float | None,
    min_s: float | None,
    max_s: float | None,
) -> dict[str, float | str | None]:
    """The options of the segmenter, by name; None: not given."""
    return {
        "method": method,
        "window_s": window_s,
        "hop_s": hop_s,
        "min_s": min_s,
        "max_s": max_s,
    }
