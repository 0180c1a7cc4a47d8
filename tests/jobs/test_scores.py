"""Scores that are no numbers fail their file, and no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import LABELS
from networks import small_checkpoint

from batch_ser.features import Features
from jobs import RunConfig, run
from models.batching import Outputs
from models.scoring import Checkpoint

FRAMES = 550  # of 10 ms: the two longest of the archive have more


@pytest.mark.parametrize("name", ["whisper", "whisper, offset"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_fails_its_file(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    real = Checkpoint.score_features

    def damaged(self: Checkpoint, features: Features, *, embed: bool) -> Outputs:
        probabilities, embeddings = (each.copy() for each in real(self, features, embed=embed))
        rows = (features.frames > FRAMES).numpy()
        (embeddings if embeddings.size else probabilities)[rows] = value
        return probabilities, embeddings

    checkpoint = small_checkpoint(tmp_path / "c.safetensors", name, LABELS)
    monkeypatch.setattr(Checkpoint, "score_features", damaged)
    out = tmp_path / "out.parquet"
    whole = {"method": "whole"}
    report = run(
        RunConfig((str(archive),), str(out), str(checkpoint), engine="inline", segment=whole)
    )
    assert report.exit_code == 3
    files = pd.read_parquet(tmp_path / "out.files.parquet").set_index("file")
    failed = files[files["status"] == "failed"]
    assert sorted(Path(each).stem for each in failed.index) == ["call18", "call19"]
    assert (failed["reason"] == "internal_error").all()
    assert failed["message"].str.contains("not finite").all()
    rows = pd.read_parquet(out)
    assert len(rows) == 18
    assert np.isfinite(rows.filter(like="p_").to_numpy()).all()
