"""`batch-ser import-labels`: label files of several programs to one table, matched with segments.

The label files are in memory, the output is read once, recording by recording.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_ser.addresses import scheme_of
from batch_ser.errors import MismatchError, UsageError
from batch_ser.labels import (
    Label,
    Problem,
    RecordingNames,
    Sample,
    match,
    placed,
    read_labels,
    sample_beside,
)
from jobs.label_tables import (
    COLUMNS,
    PROBLEM_COLUMNS,
    is_ours,
    label_rows,
    name_of,
    problem_row,
    segments_of,
    write_table,
)
from jobs.labelled import Given, Labelled
from jobs.recovery import storage_errors
from jobs.scored_segments import ScoredSegments
from train.data import in_order, known_name

PROBLEMS = ".problems.csv"
MOST_PAIRS = 10  # of annotators, as text


@dataclass(frozen=True)
class ImportReport:
    """What was written, and what of it needs a look."""

    labels: Path
    problems: Path
    labelled: Labelled
    known: tuple[str, ...]  # labels of the checkpoint

    def as_text(self) -> str:
        """Counts of labels, agreement, and problems by reason."""
        segments = [mine for mine in self.labelled.given.values() if mine]
        counts = Counter(each.name for mine in segments for each in mine.values())
        who = {name for mine in segments for name in mine}
        lines = [
            f"{counts.total():,} labels of {len(segments):,} segments by {len(who):,} "
            f"annotator{'s' if len(who) != 1 else ''}: {self.labels}",
            "  " + ", ".join(f"{name} {counts[name]:,}" for name in in_order(counts)),
        ]
        if own := in_order(counts.keys() - set(self.known)):
            lines.append(f"labels that the checkpoint does not have: {', '.join(own)}")
        lines += self._agreement()
        reasons = Counter(problem.reason for _, problem in self.labelled.problems)
        if reasons:
            lines.append(f"{reasons.total():,} to look at: {self.problems}")
            lines.append("  " + ", ".join(f"{each} {n:,}" for each, n in reasons.most_common()))
        return "\n".join(lines)

    def _agreement(self) -> Iterator[str]:
        found = self.labelled.agreements()
        for (one, other), each in sorted(found.items(), key=lambda pair: -pair[1].segments)[
            :MOST_PAIRS
        ]:
            kappa = "not defined" if each.kappa is None else f"{each.kappa:.2f}"
            yield (
                f"agreement of {one} and {other}: {each.segments:,} segments, "
                f"{100 * (each.agreement or 0):.1f} % the same, Cohen's kappa {kappa}"
            )
        if not found:
            yield "agreement: no segment has labels of two annotators"
        if len(found) > MOST_PAIRS:
            yield f"  and {len(found) - MOST_PAIRS:,} more pairs of annotators"


def import_labels(
    paths: Sequence[str],
    results: str,
    dest: str,
    sample: str | None = None,
    annotator: str | None = None,
    words: str | None = None,
) -> ImportReport:
    """Write one table of labels, and beside it what is of no use, with the reasons.

    `words` is `--map`: the labels that words of the annotators become.

    Raises:
        UsageError: a file that cannot be read as labels, or not one label fits the output.
        MismatchError: there is no complete output, or `dest` is not ours.
        Incomplete: a table cannot be written.
    """
    table = _destination(dest, paths)
    mapping, scored = _mapping(words), ScoredSegments.of(results)
    whole = Sample.read(Path(sample)) if sample else None
    labelled = Labelled()
    found = _Files(RecordingNames(scored.files()), whole, labelled)
    for path in map(Path, paths):
        found.read(path, annotator)
    _match(found, scored, mapping, labelled)
    labelled.list_conflicts()
    problems = table.with_name(f"{table.stem}{PROBLEMS}")
    with storage_errors(scored.output):
        write_table(problems, PROBLEM_COLUMNS, map(problem_row, labelled.problems))
    if not any(labelled.given.values()):
        raise UsageError(
            f"not one label fits {results}; expected labels of its recordings and segments; "
            f"{problems} lists why"
        )
    with storage_errors(scored.output):
        write_table(table, COLUMNS, label_rows(labelled))
    return ImportReport(table, problems, labelled, scored.labels)


class _Files:
    """Labels of all files, by recording."""

    def __init__(self, names: RecordingNames, sample: Sample | None, labelled: Labelled) -> None:
        self.by_file: dict[str, list[tuple[Path, Label, Sample | None]]] = defaultdict(list)
        self._names, self._sample, self._labelled = names, sample, labelled
        self._beside: dict[Path, Sample] = {}

    def read(self, path: Path, annotator: str | None) -> None:
        sample = self._sample or self._found_beside(path)
        for each in read_labels(path, annotator):
            found = placed(each, self._names, sample) if isinstance(each, Label) else each
            if isinstance(found, Label):
                self.by_file[found.file].append((path, found, sample))
            else:
                self._labelled.problems.append((path, found))

    def _found_beside(self, path: Path) -> Sample | None:
        folder = sample_beside(path)
        if folder is None:
            return None
        if folder not in self._beside:
            self._beside[folder] = Sample.read(folder)
        return self._beside[folder]


def _match(
    found: _Files, scored: ScoredSegments, mapping: Mapping[str, str], labelled: Labelled
) -> None:
    for file, rows in scored.by_file():
        mine = found.by_file.pop(file, [])
        segments = segments_of(rows) if mine else []
        for path, label, sample in mine:
            segment = match(label, segments)
            if isinstance(segment, Problem):
                labelled.problems.append((path, segment))
                continue
            key, times = (file, segment.channel, segment.number), (segment.start_s, segment.end_s)
            weight = sample.weight(key, *times) if sample else None
            name = name_of(label.text, scored.labels, mapping)
            given = Given(path, label, name, label.weight if weight is None else weight)
            labelled.add((file, segment), given)
    for each in found.by_file.values():  # of recordings without segments
        labelled.problems += ((path, match(label, [])) for path, label, _ in each)  # type: ignore[misc]


def _mapping(words: str | None) -> dict[str, str]:
    """`--map LABEL=WORD+WORD,...`: the label of each word.

    Raises:
        UsageError: it is not of this form.
    """
    found: dict[str, str] = {}
    for part in (words or "").split(",") if words else ():
        label, equals, rest = (each.strip() for each in part.partition("="))
        sources = [each.strip().casefold() for each in rest.split("+")]
        if not label or not equals or not all(sources) or set(sources) & set(found):
            raise UsageError(
                f"--map {words}: found {part.strip()!r}; expected LABEL=WORD+WORD,..., and each "
                "word once, such as angry=frustrated+annoyed"
            )
        found |= dict.fromkeys(sources, known_name(label, ()) or label.lower())
    return found


def _destination(dest: str, paths: Sequence[str]) -> Path:
    """Where the labels go.

    Raises:
        UsageError: no CSV of this machine, or one of the label files.
        MismatchError: there is a file that this command did not write.
    """
    path = Path(dest)
    if scheme_of(dest) or path.suffix.lower() != ".csv":
        raise UsageError(f"--dest {dest}: expected a path that ends in .csv")
    if not path.parent.is_dir():
        raise UsageError(f"--dest {dest}: there is no folder {path.parent}; make it first")
    if any(Path(each).exists() and path.exists() and path.samefile(each) for each in paths):
        raise UsageError(f"--dest {dest}: this is one of the label files; choose another name")
    beside = path.with_name(f"{path.stem}{PROBLEMS}")
    for each, columns in ((path, COLUMNS), (beside, PROBLEM_COLUMNS)):
        if each.exists() and not is_ours(each, columns):
            raise MismatchError(
                f"--dest {dest}: {each} exists and is not what this command writes; choose another "
                "name or move it away"
            )
    return path
