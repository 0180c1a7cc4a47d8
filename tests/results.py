"""What tests do with a job and its tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from conftest import LABELS

from batch_ser.results.layout import TABLES, Output
from batch_ser.results.verification import verify
from jobs import RunConfig, RunReport, run

SCORES = [f"p_{label}" for label in LABELS]


def score(inputs: Path, out: Path, checkpoint: Path, **options: Any) -> RunReport:
    settings: dict[str, Any] = {"engine": "inline"} | options
    return run(RunConfig((str(inputs),), str(out), str(checkpoint), **settings))


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(out), pd.read_parquet(out.with_suffix(".files.parquet"))


def assert_same_tables(left: Path, right: Path) -> None:
    for one, other in zip(tables(left), tables(right), strict=True):
        exact = [name for name in one.columns if one[name].dtype != np.float32]
        pd.testing.assert_frame_equal(one[exact], other[exact])
        pd.testing.assert_frame_equal(one, other, atol=1e-4, rtol=0)


def rows(out: Path, table: str) -> pd.DataFrame:
    """A table of an output in single files or a folder; empty where it has none of that name."""
    files = Output(str(out)).table_files(table)
    return pd.concat([pd.DataFrame(), *map(pd.read_parquet, files)], ignore_index=True)


def assert_equal(left: Path, right: Path) -> None:
    """All tables of outputs with embeddings, in single files or folders."""
    for table in TABLES:
        one, other = rows(left, table), rows(right, table)
        exact = [name for name in one.columns if one[name].dtype != np.float32]
        exact = [name for name in exact if name != "embedding"]
        pd.testing.assert_frame_equal(one[exact], other[exact])
        scores = [name for name in one.columns if one[name].dtype == np.float32]
        pd.testing.assert_frame_equal(one[scores], other[scores], atol=1e-4, rtol=0)


def assert_holds(out: Path) -> None:
    verdict = verify(Output(str(out)))
    assert not verdict.faults, verdict.faults
