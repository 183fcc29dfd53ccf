"""The three programs that are measured."""

from __future__ import annotations

import io
import os
import shlex
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = "bootstrap"


@dataclass(frozen=True)
class Subject:
    """A program, and the folder where its start script records its processes."""

    name: str
    command: tuple[str, ...]
    notes: Path

    def as_code(self, variables: dict[str, str]) -> bytes:
        """A function's zip that starts the program with more variables, and records its process and environment."""
        self.notes.mkdir()
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        script = f"""#!/bin/sh
{exports}
env -0 >{shlex.quote(str(self._environment_file))}
echo $$ >>{shlex.quote(str(self._processes_file))}
exec {shlex.join(self.command)}
"""
        return zip_of(PROGRAM, script.encode())

    @property
    def environment(self) -> dict[bytes, bytes]:
        """The environment of the function's process."""
        variables = self._environment_file.read_bytes().rstrip(b"\0").split(b"\0")
        return {name: value for name, _, value in (variable.partition(b"=") for variable in variables)}

    def peak_memory(self) -> int:
        """The peak memory of its one process, in bytes."""
        (process,) = self._processes_file.read_text().split()
        status = Path(f"/proc/{process}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        kibibytes, unit = fields["VmHWM"].split()
        assert unit == "kB", unit
        return int(kibibytes) * 1024

    @property
    def _environment_file(self) -> Path:
        return self.notes / "environment"

    @property
    def _processes_file(self) -> Path:
        return self.notes / "processes"


def zip_of(name: str, content: bytes) -> bytes:
    """A function's package with one executable file."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100755 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr(info, content, compresslevel=9)
    return packed.getvalue()


def subjects(target: Path, notes: Path) -> tuple[Subject, Subject, Subject]:
    """Our function, as the deployer built it; the empty one; and boto3's, as Lambda's Python runtime starts it."""
    ours = target.parent / "function/x86_64" / PROGRAM / PROGRAM
    empty = target / "lambda/empty/bootstrap"
    # Without PYTHONPATH, `-m` would search the function's folder in the sandbox; the package's modules are here.
    python = ("env", f"PYTHONPATH={HERE / 'boto3_rotation'}", sys.executable)
    boto3 = (*python, "-m", "awslambdaric", "lambda_function.lambda_handler")
    return (
        Subject("ours", (os.fspath(ours),), notes / "ours"),
        Subject("empty, Rust", (os.fspath(empty),), notes / "empty"),
        Subject("boto3, Python", boto3, notes / "boto3"),
    )
