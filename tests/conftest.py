"""What the tests share: real short recordings, a small checkpoint with random weights, a runner."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from labelled import NAMES, record
from safetensors.torch import save_file
from trainings import training

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from jobs import RunConfig, run
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.whisper import WhisperClassifier
from train.run import train

REPOSITORY = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("batch-ser")
Runner = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = {"taps": (1, 2), "layers": 2, "d_model": 32, "heads": 2, "frozen_layers": 2}
LABELS = ("neutral", "happy", "sad", "angry")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks as small as these lose more to threads that wait for each other than they gain."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def calls() -> Path:
    """The example calls: real telephone speech."""
    return REPOSITORY / "examples" / "calls"


@pytest.fixture(scope="session")
def speech(calls: Path) -> Samples:
    """29 s of real speech with pauses, 16 kHz mono."""
    return load(str(calls / "announcement.opus"), 16_000)


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small whisper checkpoint with random weights: fast, and as sensitive as a trained one."""
    torch.manual_seed(1)
    network = WhisperClassifier(len(LABELS), **SMALL)
    info = CheckpointInfo(
        name="small",
        architecture="whisper",
        settings=dict(SMALL),
        labels=LABELS,
        front_end="whisper_log_mel",
        rate_hz=16_000,
        max_input_s=30.0,
        licence="none: random weights",
    )
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, info, network)
    return path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Twenty good files in folders: real speech cut to lengths from 0.7 to 6 s, two rates."""
    root = tmp_path_factory.mktemp("archive")
    lengths_s = np.linspace(0.7, 6.0, 20)
    for number, length_s in enumerate(lengths_s):
        folder = root / f"day{number % 3}"
        folder.mkdir(exist_ok=True)
        start = number * 16_000
        samples = speech[start : start + round(length_s * 16_000)]
        ending = "flac" if number % 2 else "wav"
        soundfile.write(folder / f"call{number:02}.{ending}", samples, 16_000)
    (root / "notes.txt").write_text("no audio")
    (root / ".hidden.wav").write_bytes(b"")
    return root


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """A corpus named like RAVDESS: four actors, three emotions, two takes of a second each.

    What tells the emotions apart is loudness and bandwidth, for networks that learn in seconds.
    """
    root = tmp_path_factory.mktemp("ravdess")
    for actor in range(1, 5):
        (root / f"Actor_{actor:02}").mkdir()
        for number, emotion in enumerate((1, 3, 5)):
            for take in (1, 2):
                start = (actor * 6 + number * 2 + take - 4) * 16_000
                samples = speech[start : start + 16_000] * (0.1 + 0.4 * number)
                name = f"03-01-{emotion:02}-01-01-{take:02}-{actor:02}.wav"
                rate_hz = 8_000 + 4_000 * number
                heard = soxr.resample(samples, 16_000, rate_hz)
                soundfile.write(root / f"Actor_{actor:02}" / name, heard, rate_hz)
    return root


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper encoder with random weights and the sizes of `SMALL`."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    save_file(WhisperClassifier(8, **SMALL).encoder.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def ast_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Audio Spectrogram Transformer of 1.28 s, as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("ast")
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_length=128, num_mel_bins=128, id2label={0: "neu", 1: "hap", 2: "ang"},
        label2id={"neu": 0, "hap": 1, "ang": 2},
    )  # fmt: skip
    transformers.ASTForAudioClassification(config).save_pretrained(path)
    transformers.ASTFeatureExtractor(max_length=128).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def wav2vec_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small wav2vec 2.0 classifier, as transformers writes it; it hears loudness."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("wav2vec")
    config = transformers.Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16, 16, 16), conv_stride=(10, 8, 4), conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        classifier_proj_size=16, mask_time_prob=0.0, layerdrop=0.0,
        id2label={0: "neu", 1: "hap", 2: "ang"}, label2id={"neu": 0, "hap": 1, "ang": 2},
    )  # fmt: skip
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def inits(encoder: Path, ast_directory: Path, wav2vec_directory: Path) -> dict[str, str]:
    """What `--init` names, of the recipes that start from pretrained weights."""
    recipes = ("whisper", "whisper-frozen", "whisper-mlp", "accurate", "student")
    own = {"ast": str(ast_directory), "hf": str(wav2vec_directory)}
    return dict.fromkeys(recipes, str(encoder)) | own


@pytest.fixture(scope="session")
def finished(
    tree: Path, inits: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a finished training of a recipe; each is trained once."""
    found: dict[str, Path] = {}

    def folder(recipe: str) -> Path:
        if recipe not in found:
            found[recipe] = tmp_path_factory.mktemp("runs") / recipe
            init = inits.get(recipe)
            if recipe == "fast":
                init = str(folder("student") / "checkpoint.safetensors")
            train(training(tree, found[recipe], recipe, init=init))
        return found[recipe]

    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with corpora, weights and folds; tests that need it are skipped without it."""
    folder = Path(os.environ.get("BATCH_SER_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data" / "ravdess").is_dir():
        pytest.skip(f"no corpora at {folder}: set BATCH_SER_SHARED")
    return folder


@pytest.fixture
def batch_ser(tmp_path: Path) -> Runner:
    """Run the installed program in an empty folder; gives its status and what it printed."""

    def run(*arguments: object, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAM), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, archive: Path, checkpoint_path: Path) -> Path:
    """The tables of a calm run over the archive, segments of speech."""
    out = tmp_path_factory.mktemp("calm") / "results.parquet"
    run(RunConfig((str(archive),), str(out), str(checkpoint_path), engine="inline"))
    return out


def cuts(speech: Samples) -> list[Samples]:
    """Real speech in lengths from 0.02 to 8 s."""
    starts = [30_000, 64_000, 70_000, 100_000, 160_000, 270_000, 300_000]
    lengths_s = [0.02, 0.5, 1.3, 2.0, 4.01, 8.0, 3.0]
    return [speech[s : s + round(t * 16_000)] for s, t in zip(starts, lengths_s, strict=True)]


@pytest.fixture
def trees(tmp_path: Path, speech: Samples) -> Path:
    """A small tree for each corpus, named as its authors name it."""
    for kind, names in NAMES.items():
        for number, name in enumerate(names):
            record(tmp_path / kind / name, speech, number)
    table = tmp_path / "crema-d" / "VideoDemographics.csv"
    table.write_text("ActorID,Age,Sex,Race\n1001,51,Male,Caucasian\n1002,21,Female,Caucasian\n")
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path, speech: Samples) -> Path:
    """Three recordings of half a second, for manifests."""
    for number, name in enumerate(("a.wav", "sub/b.wav", "c.wav")):
        record(tmp_path / name, speech, number)
    return tmp_path
