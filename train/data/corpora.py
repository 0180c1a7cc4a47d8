"""The corpora, whose file names state label and speaker, and every other kind of `--data`.

To add a corpus: a parser in `train/data/parsers.py`, and a line in `CORPORA`.
"""

import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch_ser.errors import UsageError
from train.data import parsers
from train.data.manifest import read_folder, read_manifest
from train.data.speaker_tables import crema_d_sexes, nemo_sexes
from train.data.utterances import Utterance, parse_ordinary, read_ordinary, recordings


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus besides its recordings."""

    name: str
    title: str
    licence: str
    source: str
    parse: Callable[[Path], Utterance | None]
    sexes: Callable[[Path], dict[str, str]] | None = None  # of speakers, by a table
    studio: bool = True  # acted in a studio


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "ravdess",
            "RAVDESS",
            "CC BY-NC-SA 4.0",
            "zenodo.org/records/1188976; Livingstone and Russo 2018",
            parsers.parse_ravdess,
        ),
        Corpus(
            "crema-d",
            "CREMA-D",
            "ODbL 1.0",
            "github.com/CheyneyComputerScience/CREMA-D; Cao et al. 2014",
            parsers.parse_crema_d,
            crema_d_sexes,
        ),
        Corpus(
            "tess",
            "TESS",
            "CC BY-NC-ND 4.0",
            "doi.org/10.5683/SP2/E8H2MF; Dupuis and Pichora-Fuller 2010",
            parsers.parse_tess,
        ),
        Corpus(
            "savee",
            "SAVEE",
            "research use, on registration with its authors",
            "kahlan.eps.surrey.ac.uk/savee; Haq and Jackson 2010",
            parsers.parse_savee,
        ),
        Corpus(
            "emo-db",
            "EMO-DB",
            "no licence stated by its authors",
            "emodb.bilderbar.info; Burkhardt et al. 2005",
            parsers.parse_emo_db,
        ),
        Corpus(
            "ased",
            "ASED v1",
            "no licence stated by its authors, research use",
            "github.com/Ethio2021/ASED_V1; Retta et al. 2023",
            parsers.parse_ased,
        ),
        Corpus(
            "turev",
            "TurEV-DB",
            "CC BY-NC-ND 4.0",
            "github.com/Xeonen/TurEV-DB; Canpolat et al. 2020",
            parsers.parse_turev,
        ),
        Corpus(
            "nemo",
            "nEMO",
            "CC BY-NC-SA 4.0",
            "github.com/amu-cai/nEMO; Christop 2024",
            parsers.parse_nemo,
            nemo_sexes,
        ),
        Corpus(
            "emospeech",
            "Indian EmoSpeech Command 0.1",
            "CC BY-NC-SA 4.0",
            "github.com/RakshakTeam/emospeech-dataset-v1; Banga et al. 2019",
            parsers.parse_emospeech,
            studio=False,
        ),
        Corpus(
            "urdu",
            "URDU",
            "research only",
            "github.com/siddiquelatif/URDU-Dataset; Latif et al. 2018",
            parsers.parse_urdu,
            studio=False,
        ),
    )
}
ASTERISK = "Asterisk core sounds"
# Known folders of `ordinary:PATH`, by their names; any other is the user's own.
ORDINARY: dict[str, Corpus] = {
    name: Corpus(f"ordinary {name}", title, licence, source, parse_ordinary)
    for name, title, licence, source in (
        (
            "speechocean",
            "speechocean762",
            "CC BY 4.0",
            "github.com/jimbozhang/speechocean762; Zhang et al. 2021",
        ),
        (
            "orders",
            "Picovoice speech-to-intent orders",
            "Apache-2.0",
            "github.com/Picovoice/speech-to-intent-benchmark",
        ),
        (
            "asterisk-core-sounds",
            f"{ASTERISK}, English, Spanish, French",
            "CC BY-SA 3.0",
            "Debian's asterisk-core-sounds-en, -es and -fr",
        ),
        *(
            (
                voice,
                f"{ASTERISK}, {voice}",
                "CC BY-SA 3.0",
                f"Debian's asterisk-core-sounds-{voice[:2]}",
            )
            for voice in ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June")
        ),
    )
}
KINDS = (*CORPORA, "ordinary", "folder", "manifest")


def known_corpus(name: str) -> Corpus | None:
    """The corpus of an utterance by its name there; None for recordings of the user's own."""
    ordinary, _, folder = name.partition(" ")
    return ORDINARY.get(folder) if ordinary == "ordinary" else CORPORA.get(name)


def acted_in_a_studio(title: str) -> bool:
    """Whether a corpus is, by its title or that of a part: `RAVDESS, speech`."""
    return any(
        corpus.studio and (title == corpus.title or title.startswith(f"{corpus.title}, "))
        for corpus in CORPORA.values()
    )


def read_data(data: Sequence[str], own_labels: Collection[str] = ()) -> list[Utterance]:
    """The utterances of several `KIND:PATH`, in this order and then by path.

    `own_labels` are labels of the user's own, which folders and manifests may hold.

    Raises:
        UsageError: an unknown kind, no such folder, nothing of that corpus in it, the same data
            twice, ordinary speech of two folders with one name, or a folder or manifest that
            cannot be used as it is.
    """
    seen: dict[str, str] = {}
    utterances: list[Utterance] = []
    for each in data:
        kind, path = _kind_and_path(each)
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError(f"--data {each}: the same data as --data {seen[real]}; give it once")
        seen[real] = each
        if kind == "manifest":
            utterances += read_manifest(path, own_labels)
        elif kind == "folder":
            utterances += read_folder(path, own_labels)
        elif kind == "ordinary":
            utterances += read_ordinary(path, {one.corpus for one in utterances})
        else:
            utterances += _read_folder_of(CORPORA[kind], path)
    return utterances


def _kind_and_path(data: str) -> tuple[str, Path]:
    kind, separator, path = data.partition(":")
    if not separator or not path or kind not in KINDS:
        raise UsageError(f"--data {data}: expected KIND:PATH with KIND one of {' '.join(KINDS)}")
    if kind != "manifest" and not Path(path).is_dir():
        raise UsageError(f"--data {data}: there is no folder {path}")
    return kind, Path(path)


def _read_folder_of(corpus: Corpus, folder: Path) -> list[Utterance]:
    """The recordings of a folder that are named as in a corpus."""
    paths = recordings(folder)
    found = [utterance for path in paths if (utterance := corpus.parse(path))]
    if not found:
        raise UsageError(
            f"--data {corpus.name}:{folder}: none of {len(paths)} recordings there is named as in "
            f"{corpus.title} ({corpus.source})"
        )
    if len(found) < len(paths):
        known = {each.path for each in found}
        other = next(path for path in paths if path not in known)
        print(
            f"{corpus.name}:{folder}: {len(paths) - len(found):,} of {len(paths):,} recordings are "
            f"not named as in {corpus.title} and are left out, such as {other.name}",
            file=sys.stderr,
        )
    sexes = corpus.sexes(folder) if corpus.sexes else {}
    return [replace(each, root=folder, sex=sexes.get(each.speaker, each.sex)) for each in found]
