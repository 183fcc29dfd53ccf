"""The soak, within with-sandbox: deploys, rotates under load, counts. `run` starts it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from load import SENDER, Load, compare
from postfix import Postfix
from retirement import Retirement

EXAMPLES = Path(__file__).resolve().parents[1]
KEEP_PREVIOUS_SECONDS = 2
CATCH_UP_SECONDS = 120
FLUSH_EVERY_SECONDS = 5
LEAST_MAILS_PER_SECOND = 5


def main() -> int:
    """The exit code."""
    # As Ctrl-C does, so that Postfix is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sandbox = Path(os.environ["SANDBOX_DIR"])
    rotations = int(os.environ["SOAK_ROTATIONS"])
    relay_port = urlsplit(os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]).port
    assert relay_port is not None
    with Postfix(relay_port, Path(os.environ["SANDBOX_CA_FILE"])) as postfix:
        install_host_script(sandbox / "host/usr/local/bin/rotate_smtp.sh", postfix)
        config = write_config(sandbox / "soak.yaml")
        postfix.start()
        # The first rotation gives Postfix its first credential.
        deployer("apply", config, "--auto-approve")
        load, retirement = Load(postfix.port), Retirement()
        load.start()
        retirement.start()
        began = time.monotonic()
        try:
            for number in range(1, rotations + 1):
                time.sleep(KEEP_PREVIOUS_SECONDS + 1)  # LastRotatedDate is in whole seconds
                before = time.monotonic()
                deployer("rotate", config)
                print(f"soak: rotation {number} of {rotations}: {time.monotonic() - before:.1f} s", flush=True)
        finally:
            retirement.stop()
            load.stop()
        seconds = time.monotonic() - began
        waiting = catch_up(postfix)
        return report(load, retirement, postfix, sandbox / "mail", rotations, seconds, waiting)


def install_host_script(place: Path, postfix: Postfix) -> None:
    """Puts the Postfix example on the sandbox's host, by a wrapper: scripts there have an environment of their own."""
    script = shlex.quote(str(EXAMPLES / "rotate_smtp.sh"))
    settings = f"MAIL_CONFIG={shlex.quote(str(postfix.config))} PROBE_SENDER={SENDER}"
    place.write_text(f'#!/bin/sh\nexport {settings}\nexec {script} "$@"\n')


def write_config(file: Path) -> Path:
    """config.example.yaml, but with slots that are free again after seconds."""
    example = (EXAMPLES.parent / "config.example.yaml").read_text()
    text, count = re.subn("keep_previous: 24h", f"keep_previous: {KEEP_PREVIOUS_SECONDS}s", example)
    assert count == 1, "config.example.yaml has another keep_previous now"
    file.write_text(text)
    return file


def deployer(verb: str, config: Path, *options: str) -> None:
    """Runs it; where it fails, so does the soak, with what it printed."""
    done = subprocess.run(
        ["deployer", verb, str(config), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\nsoak: deployer {verb} exited with {done.returncode}")


def catch_up(postfix: Postfix) -> int:
    """Waits until the queue is empty; answers how many mails still wait."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while (waiting := len(postfix.queued())) and time.monotonic() < deadline:
        postfix.flush()
        time.sleep(min(FLUSH_EVERY_SECONDS, deadline - time.monotonic()))
    return waiting


def report(
    load: Load,
    retirement: Retirement,
    postfix: Postfix,
    mail: Path,
    rotations: int,
    seconds: float,
    waiting: int,
) -> int:
    """Prints the figures; 0 where every accepted mail arrived unchanged and none bounced."""
    log = postfix.read_log()
    arrived = compare(load.accepted, mail)
    bounced = len(re.findall(r" status=(?:bounced|expired)", log))
    figures = {
        "rotations": rotations,
        "seconds": round(seconds),
        "accepted": len(load.accepted),
        "accepted per second": round(len(load.accepted) / seconds, 1),
        "delivered": arrived.delivered,
        "duplicates": arrived.duplicates,
        "access keys used": len(arrived.access_keys),
        "access keys retired": len(retirement.deleted),
        "retirements put off": retirement.kept,
        "retirements failed": len(retirement.failures),
        "deferred attempts": len(re.findall(r" status=deferred", log)),
        "refused by Postfix": len(load.refused),
        "still queued": waiting,
        "changed": len(arrived.changed),
        "bounced": bounced,
        "lost": len(arrived.lost),
    }
    print("\n".join(f"{name:20} {figure:>8}" for name, figure in figures.items()))
    for line in (retirement.failures + load.refused + arrived.changed + arrived.lost)[:20]:
        print(f"  {line}")
    intact = not (bounced or arrived.lost or arrived.changed or waiting)
    # Without these the figures would say nothing.
    under_load = len(load.accepted) >= LEAST_MAILS_PER_SECOND * seconds
    with_each_key = len(arrived.access_keys) == rotations + 1
    with_retirement = bool(retirement.deleted and retirement.kept) and not retirement.failures
    passed = intact and under_load and with_each_key and with_retirement
    print("soak: every mail arrived" if passed else "soak: FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
