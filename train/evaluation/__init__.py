"""Figures, pictures, reports and cards from predictions on labelled recordings."""

from train.evaluation import plots
from train.evaluation.adaptation import CORPUS, SPEAKER, Adaptation
from train.evaluation.beside import put_beside
from train.evaluation.checkpoint_info import checkpoint_info, joined_corpora, versions
from train.evaluation.figures import (
    COMPARISON,
    MOVED_AND_ARCHIVE,
    NOT_INDEPENDENT,
    FoldPredictions,
    note_of,
    predict_fold,
    write_figures,
)
from train.evaluation.measurements import write_evaluation
from train.evaluation.model_card import MOVED_BY, STARTED_FROM, card
from train.evaluation.predictions import Predictions
from train.evaluation.report import as_text
from train.evaluation.scoring import embed_utterances, predict, predict_each

__all__ = [
    "COMPARISON",
    "CORPUS",
    "MOVED_AND_ARCHIVE",
    "MOVED_BY",
    "NOT_INDEPENDENT",
    "SPEAKER",
    "STARTED_FROM",
    "Adaptation",
    "FoldPredictions",
    "Predictions",
    "as_text",
    "card",
    "checkpoint_info",
    "embed_utterances",
    "joined_corpora",
    "note_of",
    "plots",
    "predict",
    "predict_each",
    "predict_fold",
    "put_beside",
    "versions",
    "write_evaluation",
    "write_figures",
]
