"""What the parts share: where the programs are, how a process is run within its time, and where output goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import machine


LONGEST_OUTPUT = 400_000  # characters of one command in a log


class OutOfTime(Exception):
    """The part's time is up before it could begin what the message names."""


def write_json(path: Path, document: dict) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(partial, path)


@dataclass
class Build:
    """A build folder or a bundle: both hold bin/ and lib/."""

    root: Path

    @classmethod
    def find(cls, checkout: Path, given: Path | None) -> "Build":
        folders = [given] if given else [checkout, checkout / "build", checkout / "build" / "cuda"]
        for folder in folders:
            if (folder / "bin" / "manyfold").exists():
                return cls(folder.resolve())
        raise FileNotFoundError(f"no bin/manyfold in {' nor in '.join(map(str, folders))}: build first, or name a build with --build")

    @property
    def program(self) -> Path:
        return self.root / "bin" / "manyfold"

    @property
    def cuda_library(self) -> Path:
        return self.root / "lib" / "libmanyfold_cuda.so"

    def tests(self, room: str) -> Path:
        return self.root / "bin" / f"{room}_tests"

    def require(self, device: str) -> None:
        library = self.root / "lib" / f"libmanyfold_{device}.so"
        if not library.exists():
            raise FileNotFoundError(f"{library} is missing: this build has no {device} device")

    def version(self, session: "Session") -> tuple[str, str]:
        done = session.run([self.program, "--version"], 30)
        found = re.match(r"manyfold (\S+) \((.+)\)", done.output)
        return (found[1], found[2]) if found else ("unknown", "unknown")


@dataclass
class Finished:
    command: str
    code: int | None  # None: it ran out of its time
    output: str  # standard output and error, as they came
    seconds: float

    @property
    def ok(self) -> bool:
        return self.code == 0

    def why(self) -> str:
        """The last thing it said, for one line of a table."""
        if self.code is None:
            return f"not done after {self.seconds:.0f} s"
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        ended = f"exit code {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        return f"{ended}: {lines[-1][:200]}" if lines else ended


class Session:
    def __init__(self, root: Path, build: Build, device: str, scratch: Path, out: Path, deadline: float, stand_ins: Path | None):
        self.root, self.build, self.device, self.scratch, self.out = root, build, device, scratch, out
        self.stand_ins = stand_ins
        self.deadline = self.part_deadline = deadline
        self.log = None
        self.library_folders = machine.library_folders(build.cuda_library) if device == "cuda" else []

    @property
    def dry_run(self) -> bool:
        return self.stand_ins is not None

    def begin_part(self, name: str, seconds: float) -> None:
        self.part_deadline = min(self.deadline, time.monotonic() + seconds)
        self.log = open(self.out / f"{name}.log", "w")

    def end_part(self) -> None:
        self.log.close()
        self.log, self.part_deadline = None, self.deadline

    def left(self) -> float:
        return max(0.0, self.part_deadline - time.monotonic())

    def tool(self, name: str) -> str | None:
        """A tool of the CUDA toolkit, or its stand-in; None when it is not there."""
        if self.stand_ins:
            stand_in = self.stand_ins / name
            return str(stand_in) if stand_in.exists() else None
        return shutil.which(name, path=machine.tool_path())

    def environment(self, ours: bool, more: dict | None = None) -> dict:
        """For a program of ours the folders of CUDA's libraries are added; frameworks must find their own."""
        environment = dict(os.environ)
        if ours and self.library_folders:
            folders = [*map(str, self.library_folders), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, folders))
        environment.update(more or {})
        return environment

    def run(self, command, seconds: float | None = None, *, ours: bool = True, environment: dict | None = None, cwd: Path | None = None) -> Finished:
        """Runs to the end, or until `seconds` or the part's time is over; then it is interrupted, and after 3 s killed."""
        words = [str(word) for word in command]
        line = shlex.join(words)
        if environment:
            line = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items()) + " " + line
        allowed = self.left() if seconds is None else min(seconds, self.left())
        if allowed <= 0:
            raise OutOfTime(line)
        began = time.monotonic()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=self.environment(ours, environment), cwd=cwd or self.scratch, start_new_session=True,
        )
        code = None
        try:
            output, _ = process.communicate(timeout=allowed)
            code = process.returncode
        except subprocess.TimeoutExpired:
            output = self._end(process)
        except BaseException:
            self._end(process)
            raise
        done = Finished(self._portable(line), code, output, time.monotonic() - began)
        if self.log:
            if len(output) > LONGEST_OUTPUT:  # the begin and the end tell most
                output = f"{output[: LONGEST_OUTPUT // 2]}\n[...]\n{output[-LONGEST_OUTPUT // 2 :]}"
            self.log.write(f"$ {done.command}\n{output}{'' if output.endswith(chr(10)) else chr(10)}"
                           f"--- {'stopped' if code is None else f'exit code {code}'} after {done.seconds:.1f} s\n\n")
            self.log.flush()
        return done

    def _portable(self, line: str) -> str:
        """A command as it can be given from the root of a checkout or bundle: results must not depend on where that lay."""
        for folder, name in ((self.build.root, ""), (self.root, ""), (self.out, "results/"), (self.scratch, "/tmp/")):
            line = line.replace(f"{folder}/", name)
        return line

    @staticmethod
    def _end(process) -> str:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                pass
            try:
                return process.communicate(timeout=3)[0]
            except subprocess.TimeoutExpired:
                continue
        return ""

    def manyfold(self, *arguments, seconds: float | None = None) -> Finished:
        return self.run([self.build.program, *arguments], seconds)
