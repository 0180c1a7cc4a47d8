"""A child process that decodes, with faults by the names of files."""

FAULTS = """
import os, signal, time
from pathlib import Path
from batch_ser.audio.recording import Recording
real = Recording.__init__
def faulty(self, path, reading=None):
    name = os.path.basename(path)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(3600)
    if "killed" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "exit" in name:
        os._exit(7)
    if "error" in name:
        raise ZeroDivisionError
    if "once" in name and not Path(path + ".done").exists():
        Path(path + ".done").touch()
        os.abort()
    real(self, path, reading)
Recording.__init__ = faulty
from jobs.disposable import main; main()
"""
