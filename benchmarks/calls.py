"""Jobs over composed calls: AUC of angry calls and turns; what neutral and angry ones become."""

from pathlib import Path

import pandas as pd
from composed_calls import compose, judge
from heads import LANGUAGES, WORK, Heads
from prompts import prompts

from batch_ser.inputs import Selection
from jobs import RunConfig, run
from jobs.adapt import adapt_again

CUSTOMERS = ("ravdess", "ased", "nemo")  # which have neutral and angry recordings
CALLS = 20  # of each
WAYS = {"none": "none", "default": "archive"}


def on_calls(heads: Heads) -> dict[str, dict[str, float]]:
    """Figures by way of adaptation: each corpus's customers with the agents of one language, by a
    head that met neither.
    """
    segments: dict[str, list[pd.DataFrame]] = {way: [] for way in WAYS}
    truths = []
    for number, (corpus, language) in enumerate(zip(CUSTOMERS, LANGUAGES, strict=True)):
        folder = WORK / "calls" / corpus
        agents = sorted((prompts(WORK) / language).rglob("*.wav"))
        customers = [each for each in heads.data.utterances if each.corpus == corpus]
        truth = pd.read_csv(compose(folder, customers, agents, CALLS, number))
        truths.append(truth.assign(call=f"{corpus}/" + truth["call"]))
        out = WORK / "calls" / f"{heads.recipe}-{corpus}.parquet"
        model = heads.without_language(language, corpus).save(out.with_suffix(".safetensors"))
        for way, table in _tables(folder, out, model).items():
            segments[way].append(table.assign(file=f"{corpus}/" + table["file"].astype(str)))
    truth = pd.concat(truths)
    return {way: judge(pd.concat(each), truth) for way, each in segments.items()}


def _tables(folder: Path, out: Path, model: Path) -> dict[str, pd.DataFrame]:
    """The results of a job in every way."""
    selection = Selection(include=("*.wav",))
    run(RunConfig((str(folder),), str(out), str(model), selection=selection, restart=out.exists()))
    found = {}
    for way, by in WAYS.items():
        adapt_again(str(out), by, "natural")
        found[way] = pd.read_parquet(out)
    return found
