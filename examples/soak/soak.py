"""The soak, inside with-sandbox: deploys, rotates under load, counts. `run` starts it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
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
    """Runs the soak. Returns the exit code."""
    # Like Ctrl-C, so that the soak stops Postfix.
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
        printed = deployer("apply", config, "--auto-approve")
        load, retirement = Load(postfix.port), Retirement()
        load.start()
        retirement.start()
        began = time.monotonic()
        try:
            for number in range(1, rotations + 1):
                time.sleep(KEEP_PREVIOUS_SECONDS + 1)  # LastRotatedDate is in whole seconds
                before = time.monotonic()
                printed += deployer("rotate", config)
                print(f"soak: rotation {number} of {rotations}: {time.monotonic() - before:.1f} s", flush=True)
        finally:
            retirement.stop()
            load.stop()
        seconds = time.monotonic() - began
        waiting = catch_up(postfix)
        leaks = find_secrets(sandbox, postfix.read_log() + printed)
        return report(load, retirement, postfix, sandbox / "mail", rotations, seconds, waiting, leaks)


def install_host_script(place: Path, postfix: Postfix) -> None:
    """Installs the Postfix example on the sandbox's host. A wrapper sets its variables: scripts there inherit none."""
    script = shlex.quote(str(EXAMPLES / "rotate_smtp.sh"))
    settings = f"MAIL_CONFIG={shlex.quote(str(postfix.config))} PROBE_SENDER={SENDER}"
    place.write_text(f'#!/bin/sh\nexport {settings}\nexec {script} "$@"\n')


def write_config(file: Path) -> Path:
    """Writes config.example.yaml, but with slots that are free again after seconds, and with every log line."""
    text = (EXAMPLES.parent / "config.example.yaml").read_text()
    changes = {
        "keep_previous: 24h": f"keep_previous: {KEEP_PREVIOUS_SECONDS}s",
        "keep_inactive: 72h": "keep_inactive: 0s",
        "log_level: info": "log_level: trace",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, f"config.example.yaml has no {old!r} any more"
        text = text.replace(old, new)
    file.write_text(text)
    return file


def deployer(verb: str, config: Path, *options: str) -> str:
    """Runs the deployer. Returns its output. If it fails, the soak fails."""
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
    return done.stdout


def catch_up(postfix: Postfix) -> int:
    """Waits until the queue is empty, for at most CATCH_UP_SECONDS. Returns how many mails still wait."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while (waiting := len(postfix.queued())) and time.monotonic() < deadline:
        postfix.flush()
        time.sleep(min(FLUSH_EVERY_SECONDS, deadline - time.monotonic()))
    return waiting


def find_secrets(sandbox: Path, text: str) -> list[str]:
    """Says which logs, or this text, have an issued secret; never the secret itself."""
    with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT_URL']}/_sandbox/state", timeout=10) as answer:
        state = json.load(answer)
    secrets = state["secret_access_keys"] + state["smtp_passwords"] + state["rotation_tokens"]
    assert secrets, "the sandbox has issued nothing to search for"
    texts = {"what Postfix logged or the deployer printed": text}
    logs = [*sandbox.glob("*.jsonl"), *sandbox.glob("*.log"), *(sandbox / "logs").iterdir()]
    texts |= {str(log): log.read_text(errors="replace") for log in logs}
    return [f"a secret is in {place}" for place, text in texts.items() if any(secret in text for secret in secrets)]


def report(
    load: Load,
    retirement: Retirement,
    postfix: Postfix,
    mail: Path,
    rotations: int,
    seconds: float,
    waiting: int,
    leaks: list[str],
) -> int:
    """Prints the figures. Returns 0 if every accepted mail arrived unchanged, none bounced and no secret was logged."""
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
        "logs with a secret": len(leaks),
    }
    print("\n".join(f"{name:20} {figure:>8}" for name, figure in figures.items()))
    for line in (leaks + retirement.failures + load.refused + arrived.changed + arrived.lost)[:20]:
        print(f"  {line}")
    intact = not (bounced or arrived.lost or arrived.changed or waiting)
    # Without these, the figures would prove nothing.
    under_load = len(load.accepted) >= LEAST_MAILS_PER_SECOND * seconds
    with_each_key = len(arrived.access_keys) == rotations + 1
    with_retirement = bool(retirement.deleted and retirement.kept) and not retirement.failures
    passed = intact and under_load and with_each_key and with_retirement and not leaks
    print("soak: every mail arrived" if passed else "soak: FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
