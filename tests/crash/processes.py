"""Real `sterling` processes for the crash tests. They wait for a condition, with a deadline."""

import resource
import subprocess
import sys
import time

STERLING = [sys.executable, "-m", "sterling"]
DEADLINE = 240.0  # seconds; kernels may have to be compiled first


def allow_small_files_only():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def start(*arguments, **more) -> subprocess.Popen:
    """Start `sterling ARGUMENTS` with its output in pipes."""
    command = [*STERLING, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(*arguments, code=0, **more) -> tuple[str, str]:
    """Run `sterling ARGUMENTS` to its end, check the exit code, and return its stdout and stderr."""
    with start(*arguments, **more) as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == code, (out, err)
    assert "Traceback" not in err
    return out, err


def wait_until(condition, process: subprocess.Popen) -> None:
    """Return as soon as the condition holds; fail if the process ends or the deadline passes before."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.002)  # between two looks
