"""Printing never ends a command: narrow encodings, closed streams, a terminal that went away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from striate.cli.signals import cancelled_by_signals

HERE = [sys.executable, "-m", "striate"]
NAMES = "import sys; from striate.cli import streams; streams.prepare(); "


def ran(code: str, **how) -> subprocess.CompletedProcess[str]:
    """A command in place of a whole run: the streams are prepared as the command line does it."""
    return subprocess.run([sys.executable, "-c", NAMES + code], capture_output=True, text=True, timeout=60, **how)


def test_a_console_that_cannot_encode_a_name_gets_escapes() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = ran("print('müsli кот'); print('ünread', file=sys.stderr)", env=env)
    assert (done.returncode, done.stdout) == (0, "m\\xfcsli \\u043a\\u043e\\u0442\n")
    assert done.stderr == "\\xfcnread\n"


def test_json_stays_json_whatever_the_encoding() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = ran("from striate.cli.session import print_json; print_json({'müsli': ['кот', '\\udcff']})", env=env)
    assert json.loads(done.stdout) == {"müsli": ["кот", "\udcff"]}
    done = ran("from striate.cli.session import print_json; print_json(['müsli'])")
    assert "müsli" in done.stdout


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_matter(tmp_path: Path, closed: str) -> None:
    """And no file that is opened later takes their place, and is written into."""
    file = tmp_path / "data"
    code = (
        f"{NAMES} f = open({str(file)!r}, 'w'); print('lost', file=sys.stderr, flush=True); print('said', flush=True)"
    )
    script = f'"{sys.executable}" -c "$CODE" {closed}'
    done = subprocess.run(["sh", "-c", script], env={**os.environ, "CODE": code}, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert file.read_bytes() == b""


def test_a_command_runs_with_standard_error_closed() -> None:
    words = " ".join(f'"{word}"' for word in [*HERE, "models", "--family", "mlp"])
    done = subprocess.run(["sh", "-c", f"{words} 2>&-"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "networks" in done.stdout or "network" in done.stdout) == (0, True)


def test_progress_without_a_reader_does_not_end_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", f"{NAMES} [print('x', file=sys.stderr) for _ in range(100)]; print('done')"],
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_closed_terminal_cancels_the_job_as_sigterm_does() -> None:
    asked = threading.Event()
    with cancelled_by_signals(asked.set):
        os.kill(os.getpid(), signal.SIGHUP)
        assert asked.wait(5)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_nohup_stays_in_force() -> None:
    asked = threading.Event()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cancelled_by_signals(asked.set):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked.wait(0.1)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_no_bug() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*HERE, "models", "--family", "mlp"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert "error: the output cannot be written: No space left on device" in done.stderr
    assert "bug" not in done.stderr


def test_an_interrupt_while_the_command_is_imported_has_no_traceback() -> None:
    code = """
import builtins, striate.cli as cli
real = builtins.__import__
def stop(name, *rest):
    if name == "striate.cli.app":
        raise KeyboardInterrupt
    return real(name, *rest)
builtins.__import__ = stop
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
