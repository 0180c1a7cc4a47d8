"""What the table of calls is worth: how it ranks angry calls, finds the turn, and names a trend.

`python benchmarks/call_table.py` writes a section of docs/results.md. Calls of 4 to 40 turns are
composed (composed_calls.py), of which every fourth turns angry; heads met neither their customers
nor their agents. How calls should be ranked was chosen on the customers of RAVDESS and ASED; nEMO's
judge it.
"""

import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from composed_calls import ANGRY, CUSTOMER, compose
from heads import CORPORA, LANGUAGES, WORK, Heads
from prompts import prompts
from results import write_section
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from trained import require_corpora

from batch_ser.inputs import Selection
from batch_ser.results import Output
from jobs import RunConfig, run
from jobs.calls import make_calls
from models.loading import SHIPPED

CUSTOMERS = ("ravdess", "ased", "nemo")  # the last one judges
CALLS, KEPT_ANGRY = 80, 12  # composed, half of them angry; of the angry ones these are kept
FIRST = 10
NEAR_S = 3.0
PARTY = "customer"
RANKINGS = {
    "negative_time_s": "negative time",
    "share_negative": "negative time over scored time",
    "emotion_overall_score": "overall score",
    "anger_peak": "anger peak",
    "third_anger": "third highest p_angry",
    "angry_s": "seconds with p_angry above 0.5",
    "lowest_30_s": "lowest mean of 30 s",
}


def scored(heads: Heads, corpus: str, language: str, number: int) -> tuple[str, pd.DataFrame]:
    """The output of a job over composed calls, and their turns."""
    folder = WORK / "call_table" / corpus
    agents = sorted((prompts(WORK) / language).rglob("*.wav"))
    customers = [each for each in heads.data.utterances if each.corpus == corpus]
    truth = pd.read_csv(compose(folder, customers, agents, CALLS, number))
    angry = sorted(truth[truth["label"] == ANGRY]["call"].unique())
    dropped = np.random.default_rng(number).permutation(angry)[KEPT_ANGRY:]
    for name in dropped:
        (folder / name).unlink()
    out = WORK / "call_table" / f"{heads.recipe}-{corpus}.parquet"
    model = heads.without_language(language, corpus).save(out.with_suffix(".safetensors"))
    config = RunConfig(
        (str(folder),),
        str(out),
        str(model),
        selection=Selection(include=("*.wav",)),
        roles="0=agent,1=customer",
        engine="inline",
        restart=True,
    )
    run(config)
    make_calls(str(out))
    return str(out), truth[~truth["call"].isin(dropped)]


def table(out: str, truth: pd.DataFrame) -> pd.DataFrame:
    """The table of calls by file, with the rankings that it has no column for."""
    output = Output(out)
    made = pq.read_table(output.folder.place(output.derived("calls"))).to_pandas()
    made = made.set_index("file")
    segments = pd.read_parquet(out, columns=["file", "role", "start_s", "end_s", "p_angry"])
    mine = segments[segments["role"] == PARTY].assign(file=lambda each: each["file"].astype(str))
    mine["seconds"] = mine["end_s"] - mine["start_s"]
    long = mine[mine["seconds"] >= 1.5].groupby("file")["p_angry"]
    found = {name: made[column] for name, column in _columns(made).items()}
    found["share_negative"] = found["negative_time_s"] / made[f"scored_{PARTY}_s"]
    found["third_anger"] = long.apply(lambda each: each.nlargest(3).iloc[-1])
    above = mine[mine["p_angry"] > 0.5]
    found["angry_s"] = above.groupby("file")["seconds"].sum()
    found["lowest_30_s"] = found["q4"] - found["recovery"]
    turns = truth.groupby("call")
    found["turns"] = turns.size()
    found["is_angry"] = turns["label"].agg(lambda each: (each == ANGRY).any())
    return pd.DataFrame(found).reindex(made.index).fillna({"angry_s": 0.0})


def _columns(made: pd.DataFrame) -> dict[str, str]:
    names = {
        "negative_time_s": f"negative_time_{PARTY}_s",
        "q4": f"emotion_q4_score_{PARTY}",
        "start_s": f"anger_peak_start_s_{PARTY}",
        "end_s": f"anger_peak_end_s_{PARTY}",
        "trend_class": f"emotion_trend_class_{PARTY}",
        "trend": f"emotion_trend_{PARTY}",
    }
    same = ("emotion_overall_score", "anger_peak", "recovery")
    names |= {name: f"{name}_{PARTY}" for name in same}
    assert set(names.values()) <= set(made.columns)
    return names


def ranking(calls: pd.DataFrame, name: str) -> str:
    """AUC, precision at 10, and how the calm calls' rank goes with their length."""
    values = calls[name] * (-1 if name in ("emotion_overall_score", "lowest_30_s") else 1)
    values = values.fillna(values.min() - 1)
    auc = roc_auc_score(calls["is_angry"], values)
    first = calls.loc[values.sort_values(ascending=False).index[:FIRST], "is_angry"].mean()
    calm = ~calls["is_angry"]
    length = "none"  # where all are equal
    if values[calm].nunique() > 1:
        length = f"{spearmanr(values[calm], calls.loc[calm, 'turns']).statistic:+.2f}"
    return f"{auc:.2f}, {first:.1f}, {length}"


def peaks_near(calls: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Share of the calls that turn angry whose peak is within 3 s of an angry turn."""
    angry = truth[(truth["channel"] == CUSTOMER) & (truth["label"] == ANGRY)]
    near = []
    for call, turns in angry.groupby("call"):
        start_s, end_s = calls.loc[call, ["start_s", "end_s"]]
        gaps = np.maximum(turns["start_s"] - end_s, start_s - turns["end_s"])
        near.append(bool((gaps <= NEAR_S).any()))
    return float(np.mean(near))


def trends(calls: pd.DataFrame) -> dict[str, str]:
    """Classes of the calls that turn angry, and of those that do not, in percent."""
    known = calls[calls["trend"].notna()]
    found = {}
    for name, each in (("angry", known[known["is_angry"]]), ("calm", known[~known["is_angry"]])):
        declining = each["trend_class"].isin(["Declining", "SlightlyDeclining"]).mean()
        improving = each["trend_class"].isin(["Improving", "SlightlyImproving"]).mean()
        quantiles = ", ".join(f"{value:+.1f}" for value in each["trend"].quantile([0.1, 0.5, 0.9]))
        found[name] = f"{100 * declining:.0f}, {100 * improving:.0f} of {len(each)} ({quantiles})"
    return found


def section(recipe: str) -> list[str]:
    heads = Heads(recipe, SHIPPED / f"{recipe}.safetensors")
    found, truths = {}, {}
    for number, (corpus, language) in enumerate(zip(CUSTOMERS, LANGUAGES, strict=True)):
        out, truths[corpus] = scored(heads, corpus, language, number)
        found[corpus] = table(out, truths[corpus])
    names = [CORPORA[corpus] for corpus in CUSTOMERS]
    lines = [
        f"| `{recipe}`: {CALLS // 2} calm calls and {KEPT_ANGRY} that turn angry | "
        f"{' | '.join(names)} |",
        f"|---{'|---' * len(names)}|",
    ]
    for name, title in RANKINGS.items():
        lines.append(_row(title, {c: ranking(each, name) for c, each in found.items()}))
    near = {c: f"{100 * peaks_near(each, truths[c]):.0f} %" for c, each in found.items()}
    lines.append(_row("anger peak within 3 s of an angry turn", near))
    for kind in ("angry", "calm"):
        title = f"{kind}: declining, improving, in percent (trend: 10, 50, 90 %)"
        lines.append(_row(title, {c: trends(each)[kind] for c, each in found.items()}))
    return lines


def _row(title: str, values: Mapping[str, str]) -> str:
    return f"| {title} | {' | '.join(values[corpus] for corpus in CUSTOMERS)} |"


def main() -> None:
    require_corpora()
    recipes = sys.argv[1:] or ["accurate", "fast"]
    lines = [
        "Of each ranking: AUC of the calls that turn angry, their share among the first 10 (chance "
        f"{KEPT_ANGRY / (CALLS / 2 + KEPT_ANGRY):.2f}), and rank correlation with the number of "
        "turns among the calm calls.",
    ]
    for recipe in recipes:
        lines += ["", *section(recipe)]
    write_section("The table of calls", "python benchmarks/call_table.py", lines)


if __name__ == "__main__":
    main()
