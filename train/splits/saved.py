"""Folds of an earlier training, as its split.json holds them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.errors import UsageError
from train.splits.divide import Mask
from train.splits.sides import Division, Fold


def saved_folds(data: Division, rest: str) -> Iterator[Fold]:
    """The folds of a split.json, which an earlier training wrote beside its checkpoint.

    Raises:
        UsageError: no such file, or one of other recordings.
    """
    try:
        entries = json.loads(Path(rest).read_text())["folds"]
        every = [each.name for each in (*data.utterances, *data.ordinary)]
        rows = {name: row for row, name in enumerate(every)}
        if len(rows) < len(every):
            raise UsageError(
                f"--split {data.text}: {len(every) - len(rows)} recordings have the name "
                "of another; give folders and manifests of different names"
            )
        for entry in entries:
            yield _saved_fold(entry, rows, data)
    except UsageError:  # which is a ValueError too
        raise
    except OSError as error:
        raise UsageError(f"--split {data.text}: {rest} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--split {data.text}: {rest} is no split.json of a training") from error


def _saved_fold(entry: dict[str, Any], rows: dict[str, int], data: Division) -> Fold:
    sides = [_mask_of(entry[side], rows, data.text) for side in ("train", "valid", "test")]
    count = len(data.utterances)
    if any(side[count:].any() for side in sides[1:]):
        raise UsageError(
            f"--split {data.text}: {entry['name']} has ordinary speech in valid or test; expected "
            "it in train alone"
        )
    train, valid, test = (side[:count] for side in sides)
    name, independent = entry["name"], entry["independent"]
    if not valid.any():  # of a recipe that needs none
        return data.sided(name, test, independent=independent, pool=train)
    return Fold(name, train, valid, test, independent=independent)


def _mask_of(names: Iterable[str], rows: dict[str, int], text: str) -> Mask:
    mask = np.zeros(len(rows), np.bool_)
    missing = [name for name in names if name not in rows]
    if missing:
        raise UsageError(
            f"--split {text}: {len(missing)} recordings of it are not in the data, such as "
            f"{missing[0]}; give the --data that it was made of"
        )
    mask[[rows[name] for name in names]] = True
    return mask
