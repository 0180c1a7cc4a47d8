"""Labelled recordings: corpora, folders and manifests, their labels, copies among them."""

from train.data.corpora import CORPORA, ORDINARY, acted_in_a_studio, read_data
from train.data.dataset import (
    Data,
    about_corpora,
    corpus_names,
    is_called,
    is_restricted,
    labelled,
    licence_of,
    possible_labels,
    read,
)
from train.data.labels import check_labels, in_order, known_name, parse_labels, shared_name
from train.data.overview import overview
from train.data.utterances import Utterance, load_utterance

__all__ = [
    "CORPORA",
    "ORDINARY",
    "Data",
    "Utterance",
    "about_corpora",
    "acted_in_a_studio",
    "check_labels",
    "corpus_names",
    "in_order",
    "is_called",
    "is_restricted",
    "known_name",
    "labelled",
    "licence_of",
    "load_utterance",
    "overview",
    "parse_labels",
    "possible_labels",
    "read",
    "read_data",
    "shared_name",
]
