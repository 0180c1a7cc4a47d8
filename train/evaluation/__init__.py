"""Figures, pictures, reports and cards from predictions on labelled recordings."""

from train.evaluation.adaptation import CORPUS, SPEAKER, Adaptation
from train.evaluation.figures import NOT_INDEPENDENT, note_of, write_figures
from train.evaluation.model_card import card
from train.evaluation.predictions import Predictions, predict, write_evaluation
from train.evaluation.provenance import about, versions
from train.evaluation.report import as_text

__all__ = [
    "CORPUS",
    "NOT_INDEPENDENT",
    "SPEAKER",
    "Adaptation",
    "Predictions",
    "about",
    "as_text",
    "card",
    "note_of",
    "predict",
    "versions",
    "write_evaluation",
    "write_figures",
]
