"""The command that runs with the sandbox: its streams, its environment, its signals, its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path


class Command:
    """A command line, and the process's streams and environment from before the sandbox changed them."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._arguments = arguments
        self._environment = environment
        self._stdout, self._stderr = os.dup(1), os.dup(2)

    def tell(self, text: str) -> None:
        """Writes a line to the user."""
        os.write(self._stderr, f"{text}\n".encode())

    async def run(self, additional_environment: dict[str, str]) -> int:
        """Runs the command to its end. Returns its exit code, or, like a shell, 128 plus the signal that ended it."""
        process, early = None, []

        def forward(number: int) -> None:
            if process:
                process.send_signal(number)
            else:
                early.append(number)

        # Before the command starts: a signal that came earlier would end the sandbox alone.
        loop = asyncio.get_running_loop()
        # Ctrl-C reaches the command by itself: the terminal sends it to every process in the foreground.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, forward, number)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdout=self._stdout,
                stderr=self._stderr,
                env=self._full_environment(additional_environment),
            )
        except OSError as problem:
            self.tell(f"with-sandbox: {self._arguments[0]}: {problem.strerror}")
            return 127
        for number in early:
            process.send_signal(number)
        code = await process.wait()
        return code if code >= 0 else 128 - code

    def _full_environment(self, additional: dict[str, str]) -> dict[str, str]:
        """The command's environment, without the user's own AWS settings: they could point to the real AWS."""
        own = {name: value for name, value in self._environment.items() if not name.startswith("AWS_")}
        for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
            own.pop(name, None)  # with-sandbox set them for this process
        tools = Path(sys.executable).parent
        return {
            # cargo-lambda looks for zig in this Python's packages.
            "CARGO_ZIGBUILD_PYTHON_PATH": sys.executable,
            **own,
            "PATH": f"{own.get('PATH', os.defpath)}:{tools}",
            "SANDBOX_PYTHON": sys.executable,
            **additional,
        }
