"""What the tests share: real short recordings, small checkpoints, and the commands."""

import contextlib
import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from labelled import NAMES, record
from object_stores import KEYS, environment, make_bucket, s3_server
from safetensors.torch import save_file
from trainings import training
from typer.testing import CliRunner

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from jobs import RunConfig, run
from jobs.cli import app
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.onnx_checkpoint import padded_samples
from models.whisper import WhisperClassifier
from train.run import train

REPOSITORY = Path(__file__).parent.parent
PACKAGES = ("batch_ser", "models", "train", "jobs")  # the right imports the left
PROGRAM = Path(sys.executable).with_name("batch-ser")
Runner = Callable[..., "subprocess.CompletedProcess[str]"]
MakeOnce = Callable[[str, Callable[[Path], None]], Path]
Export = Callable[..., Path]
SMALL = {"taps": (1, 2), "layers": 2, "d_model": 32, "heads": 2, "frozen_layers": 2}
LABELS = ("neutral", "happy", "sad", "angry")
ENGINES = ["inline", pytest.param("ray", marks=pytest.mark.ray)]
INLINE_FIRST = ["inline", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.exhaustive])]


settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a module share a process and its fixtures; so do those with Ray, of all modules.

    Ray starts processes of its own: one such test at a time, and they begin first as the longest.
    """
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("ray"))
        else:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of collections of garbage: each would look at it again.

    Measured: 590,000 objects, 0.3 to 0.7 s each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks as small as these lose more to threads that wait for each other than they gain."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Make a folder once a run, also where several processes share the tests.

    The first process that needs it makes it, and the others wait.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the folder of one process among several
        root = root.parent

    def make_once(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket, which the environment lets everybody use."""
    for name, value in environment(s3).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return make_bucket(s3, f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def no_keys(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket, and an environment without keys."""
    for name in KEYS:
        monkeypatch.delenv(name)
    return bucket


@pytest.fixture(scope="session")
def calls() -> Path:
    """The example calls: real telephone speech."""
    return REPOSITORY / "examples" / "calls"


@pytest.fixture(scope="session")
def speech(calls: Path) -> Samples:
    """29 s of real speech with pauses, 16 kHz mono."""
    return load(str(calls / "announcement.opus"), 16_000)


@pytest.fixture(scope="session")
def checkpoint_path(make_once: MakeOnce) -> Path:
    """A small whisper checkpoint with random weights: fast, and as sensitive as a trained one."""
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

    def make(folder: Path) -> None:
        torch.manual_seed(1)
        network = WhisperClassifier(len(LABELS), **SMALL)
        save_checkpoint(folder / "small.safetensors", info, network)

    return make_once("checkpoint", make) / "small.safetensors"


@pytest.fixture(scope="session")
def archive(make_once: MakeOnce, speech: Samples) -> Path:
    """Twenty good files in folders: real speech cut to lengths from 0.7 to 6 s, two formats."""

    def make(root: Path) -> None:
        for number, length_s in enumerate(np.linspace(0.7, 6.0, 20)):
            folder = root / f"day{number % 3}"
            folder.mkdir(exist_ok=True)
            start = number * 16_000
            samples = speech[start : start + round(length_s * 16_000)]
            ending = "flac" if number % 2 else "wav"
            soundfile.write(folder / f"call{number:02}.{ending}", samples, 16_000)
        (root / "notes.txt").write_text("no audio")
        (root / ".hidden.wav").write_bytes(b"")

    return make_once("archive", make)


@pytest.fixture(scope="session")
def tree(make_once: MakeOnce, speech: Samples) -> Path:
    """A corpus named like RAVDESS: four actors, three emotions, two takes of a second each.

    The emotions differ in loudness and bandwidth, for networks that learn in seconds.
    """

    def make(root: Path) -> None:
        for actor in range(1, 5):
            (root / f"Actor_{actor:02}").mkdir()
            for number, emotion in enumerate((1, 3, 5)):
                for take in (1, 2):
                    start = (actor * 6 + number * 2 + take - 4) * 16_000
                    samples = speech[start : start + 16_000] * (0.1 + 0.4 * number)
                    name = f"03-01-{emotion:02}-01-01-{take:02}-{actor:02}.wav"
                    rate_hz = 8_000 + 4_000 * number
                    resampled = soxr.resample(samples, 16_000, rate_hz)
                    soundfile.write(root / f"Actor_{actor:02}" / name, resampled, rate_hz)

    return make_once("ravdess", make)


@pytest.fixture(scope="session")
def encoder(make_once: MakeOnce) -> Path:
    """A Whisper encoder with random weights and the sizes of `SMALL`."""

    def make(folder: Path) -> None:
        torch.manual_seed(3)
        weights = WhisperClassifier(8, **SMALL).encoder.state_dict()
        save_file(weights, folder / "encoder.safetensors")

    return make_once("encoder", make) / "encoder.safetensors"


@pytest.fixture(scope="session")
def ast_directory(make_once: MakeOnce) -> Path:
    """A small Audio Spectrogram Transformer of 1.28 s, as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_length=128,
        num_mel_bins=128,
        id2label={0: "neu", 1: "hap", 2: "ang"},
        label2id={"neu": 0, "hap": 1, "ang": 2},
    )

    def make(folder: Path) -> None:
        torch.manual_seed(4)
        transformers.ASTForAudioClassification(config).save_pretrained(folder)
        transformers.ASTFeatureExtractor(max_length=128).save_pretrained(folder)

    return make_once("ast", make)


@pytest.fixture(scope="session")
def wav2vec_directory(make_once: MakeOnce) -> Path:
    """A small wav2vec 2.0 classifier, as transformers writes it; its scores follow loudness."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16, 16, 16),
        conv_stride=(10, 8, 4),
        conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=16,
        mask_time_prob=0.0,
        layerdrop=0.0,
        id2label={0: "neu", 1: "hap", 2: "ang"},
        label2id={"neu": 0, "hap": 1, "ang": 2},
    )

    def make(folder: Path) -> None:
        torch.manual_seed(5)
        transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)

    return make_once("wav2vec", make)


@pytest.fixture(scope="session")
def inits(encoder: Path, ast_directory: Path, wav2vec_directory: Path) -> dict[str, str]:
    """What `--init` names, of the recipes that start from pretrained weights."""
    recipes = ("whisper", "whisper-frozen", "whisper-mlp", "accurate", "student")
    own = {"ast": str(ast_directory), "hf": str(wav2vec_directory)}
    return dict.fromkeys(recipes, str(encoder)) | own


@pytest.fixture(scope="session")
def finished(tree: Path, inits: dict[str, str], make_once: MakeOnce) -> Callable[[str], Path]:
    """The folder of a finished training of a recipe."""

    def finished(recipe: str) -> Path:
        init = inits.get(recipe)
        if recipe == "fast":
            init = str(finished("student") / "checkpoint.safetensors")

        def make(folder: Path) -> None:
            train(training(tree, folder / recipe, recipe, init=init))

        return make_once(f"run-{recipe}", make) / recipe

    return finished


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with corpora, weights and folds; tests that need it are skipped without it."""
    folder = Path(os.environ.get("BATCH_SER_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data" / "ravdess").is_dir():
        pytest.skip(f"no corpora at {folder}: set BATCH_SER_SHARED")
    return folder


@pytest.fixture
def batch_ser(tmp_path: Path) -> Runner:
    """Run a command in this process and an empty folder; returns its status and its output."""

    def run(*arguments: object, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        command = [*map(str, arguments)]
        with contextlib.chdir(cwd):
            done = CliRunner().invoke(app, command, catch_exceptions=False, prog_name="batch-ser")
        return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def program(tmp_path: Path) -> Runner:
    """Run the installed program in an empty folder; returns its status and its output."""

    def run(*arguments: object, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAM), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def calm(make_once: MakeOnce, archive: Path, checkpoint_path: Path) -> Path:
    """The tables of a run over the archive that nothing interrupted, segments of speech."""

    def make(folder: Path) -> None:
        out = str(folder / "results.parquet")
        run(RunConfig((str(archive),), out, str(checkpoint_path), engine="inline"))

    return make_once("calm", make) / "results.parquet"


@pytest.fixture(scope="session")
def long_archive(make_once: MakeOnce, speech: Samples) -> Path:
    """Twenty files of 50 s, more than the first shards hold: a job that can be stopped half way."""

    def make(root: Path) -> None:
        for number in range(20):
            samples = np.roll(np.tile(speech, 2), number * 4_321)[: 50 * 16_000]
            soundfile.write(root / f"call{number:02}.wav", samples, 16_000)

    return make_once("long archive", make)


@pytest.fixture(scope="session")
def long_calm(make_once: MakeOnce, long_archive: Path, checkpoint_path: Path) -> Path:
    """The tables of a run over it that nothing interrupted."""

    def make(folder: Path) -> None:
        out = str(folder / "results.parquet")
        run(RunConfig((str(long_archive),), out, str(checkpoint_path), engine="inline"))

    return make_once("long calm", make) / "results.parquet"


@pytest.fixture(scope="session")
def export(make_once: MakeOnce) -> Export:
    """The ONNX file of a checkpoint that the command exported, made once."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        if importlib.util.find_spec(package) is None:  # an import would begin its telemetry
            pytest.skip(f"no {package} here: pip install 'batch-ser[onnx]'")

    def export(model: str, **options: Any) -> Path:
        name = "-".join(["onnx", Path(model).stem, *options])

        def make(folder: Path) -> None:
            flags = [f"--{option}" for option in options]
            command = ["export", "--model", model, "--out", str(folder / "model.onnx"), *flags]
            done = CliRunner().invoke(app, command, catch_exceptions=False)
            (folder / "stdout.txt").write_text(done.stdout)
            assert done.exit_code == 0, done.stderr

        return make_once(name, make) / "model.onnx"

    return export


def graph_inputs(segments: Sequence[Samples]) -> dict[str, Any]:
    """Segments as an exported graph takes them."""
    samples, lengths = padded_samples(segments, torch.device("cpu"))
    return {"samples": samples.numpy(), "lengths": lengths.numpy()}


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
