"""Archives of many files: the driver's memory grows by about a kilobyte for each."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARD = 12_000  # files: more than are listed ahead, which memory may hold
MORE = 20_000
PEAK = """
import sys
from pathlib import Path
from jobs import RunConfig, run

report = run(RunConfig((sys.argv[1],), sys.argv[2], sys.argv[3], engine="inline", adapt="none"))
assert report.record.counts.files["failed"] == report.record.counts.files_in
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM"):
        print(report.record.counts.files_in, line.split()[1])
"""


def peak_kb(listed: Path, checkpoint: Path) -> int:
    """The peak memory of a job in a process of its own."""
    out = str(listed.with_suffix(".parquet"))
    command = [sys.executable, "-c", PEAK, str(listed), out, str(checkpoint)]
    files, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(files) == len(listed.read_text().splitlines()) - 1
    return int(peak)


@pytest.mark.exhaustive  # `make bench` measures it too
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_memory_does_not_grow_with_the_number_of_files(
    tmp_path: Path, checkpoint_path: Path
) -> None:
    """Of missing files, which take no decoding: their rows go the way of all rows.

    A table of a row for each, held until the end, takes 18 kB a file.
    """
    peaks = []
    for count in (SHARD, SHARD + MORE):
        listed = tmp_path / f"{count}.csv"
        listed.write_text("file\n" + "".join(f"call-{n:06}.wav\n" for n in range(count)))
        peaks.append(peak_kb(listed, checkpoint_path))
        assert peak_kb(listed, checkpoint_path) < peaks[-1]  # nothing to do
    assert (peaks[1] - peaks[0]) / MORE < 3.0
