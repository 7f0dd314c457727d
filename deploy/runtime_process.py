"""Runtime of local processes: `understudy serve VERSION --port P`, each in a session of its own.

On disk, per instance: `run/instances/NAME.json` (what it serves, its URL, its process) and `NAME.lock`, and
`logs/NAME.log`. Only a process whose number and start time are on record is ever signalled.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import DependencyError
from core.settings import serving_environment
from deploy.local import HOST, choose_port, locked, wait_ready
from deploy.processes import ProcessId, identify, is_running, terminate
from deploy.runtime import Instance

Command = Callable[[str, int], Sequence[str]]


def serve_command(version: str, port: int) -> Sequence[str]:
    """The process that serves a version: this interpreter, this installation."""
    return [sys.executable, "-m", "understudy", "serve", version, "--port", str(port)]


@dataclass(frozen=True, slots=True)
class _Record:
    """The file of an instance. pid 0: about to be started, or never was."""

    name: str
    version: str
    digest: str
    port: int
    pid: int = 0
    started: str = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        return self.pid > 0 and is_running(ProcessId(self.pid, self.started))

    def instance(self) -> Instance:
        running = self.running
        return Instance(
            self.name, self.version, self.digest, self.url, self.pid if running else None, running
        )


class ProcessRuntime:
    """See `Runtime`. `home` is the platform's folder; `command` makes the command line of a version."""

    def __init__(
        self, home: Path, command: Command = serve_command, *, ready_s: float = 90, stop_s: float = 10
    ) -> None:
        self._home = home.resolve()
        self._command = command
        self._ready_s = ready_s
        self._stop_s = stop_s
        self._folder = self._home / "run" / "instances"
        self._logs = self._home / "logs"
        for folder in (self._folder, self._logs):
            folder.mkdir(parents=True, exist_ok=True)

    def start(self, version: str, digest: str, name: str) -> Instance:
        with locked(self._folder, name) as lock:
            record = self._read(name)
            if record is None or not record.running or (record.version, record.digest) != (version, digest):
                record = self._spawn(version, digest, name, record, lock)
        wait_ready(name, record.url, self._ready_s, lambda: record.running, lambda: self._log_tail(name))
        return record.instance()

    def stop(self, name: str) -> None:
        with locked(self._folder, name):
            record = self._read(name)
            if record is None:
                return
            if record.pid:
                terminate(ProcessId(record.pid, record.started), self._stop_s)
            self._path(name).unlink(missing_ok=True)

    def instances(self) -> list[Instance]:
        records = (self._read(path.stem) for path in sorted(self._folder.glob("*.json")))
        return [record.instance() for record in records if record is not None]

    def _spawn(self, version: str, digest: str, name: str, before: _Record | None, lock: int) -> _Record:
        if before is not None and before.running:  # another version under this name
            terminate(ProcessId(before.pid, before.started), self._stop_s)
        port = choose_port(before.port if before is not None else None)
        record = _Record(name, version, digest, port)
        _write(self._path(name), json.dumps(asdict(record)))
        launcher = [sys.executable, "-m", "deploy.launch", str(self._path(name)), str(lock)]
        with (self._logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*launcher, *self._command(version, port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock,),
                env=serving_environment(UNDERSTUDY_HOME=str(self._home)),
            )
        child.returncode = 0  # `processes` reaps by identity; Popen must not warn or wait for it
        return self._wait_recorded(name, child.pid)

    def _wait_recorded(self, name: str, pid: int) -> _Record:
        deadline = time.monotonic() + self._ready_s
        while time.monotonic() < deadline:
            record = self._read(name)
            if record is not None and record.pid == pid:
                return record
            if identify(pid) is None:
                break
            time.sleep(0.01)
        raise DependencyError(f"instance {name} could not be launched; {self._log_tail(name)}")

    def _log_tail(self, name: str) -> str:
        path = self._logs / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines()[-8:] if path.exists() else []
        return f"the end of {path} says: {' | '.join(lines)[-800:] or '(nothing)'}"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str) -> _Record | None:
        try:
            return _Record(**json.loads(self._path(name).read_text()))
        except FileNotFoundError:
            return None


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)
