"""The soak, inside with-sandbox: deploys, rotates under load, counts. `run` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from control import ask_sandbox
from hosts import INSTANCES, Host, catch_up
from load import Load, compare
from postfix import Postfix
from retirement import Retirement

EXAMPLES = Path(__file__).resolve().parents[1]
KEEP_PREVIOUS_SECONDS = 2
LEAST_MAILS_PER_SECOND = 5
REPLACE_EVERY = 5
"""In the first of so many rotations, a host is replaced."""
HOLD_SECONDS = 120


def main() -> int:
    """Runs the soak. Returns the exit code."""
    # Like Ctrl-C, so that the soak stops Postfix.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sandbox = Path(os.environ["SANDBOX_DIR"])
    rotations = int(os.environ["SOAK_ROTATIONS"])
    relay_port = urlsplit(os.environ["SANDBOX_SMTP_STARTTLS_ENDPOINT"]).port
    assert relay_port is not None
    with ExitStack() as started:
        hosts = []
        for instance in INSTANCES:
            postfix = started.enter_context(Postfix(relay_port, Path(os.environ["SANDBOX_CA_FILE"])))
            hosts.append(Host(instance, postfix))
            hosts[-1].install_script(sandbox)
            postfix.start()
        config = write_config(sandbox / "soak.yaml")
        # The first rotation gives each Postfix its first credential.
        printed = deployer("apply", config, "--auto-approve")
        load, retirement = Load([host.postfix.port for host in hosts]), Retirement()
        load.start()
        retirement.start()
        began = time.monotonic()
        replaced = 0
        try:
            for number in range(1, rotations + 1):
                time.sleep(KEEP_PREVIOUS_SECONDS + 1)  # LastRotatedDate is in whole seconds
                before = time.monotonic()
                if number % REPLACE_EVERY == 1:
                    printed += rotate_and_replace(config, hosts[replaced % len(hosts)], load)
                    replaced += 1
                else:
                    printed += deployer("rotate", config)
                print(f"soak: rotation {number} of {rotations}: {time.monotonic() - before:.1f} s", flush=True)
        finally:
            retirement.stop()
            load.stop()
        seconds = time.monotonic() - began
        waiting = catch_up([host.postfix for host in hosts])
        log = "".join(host.postfix.read_log() for host in hosts)
        leaks = find_secrets(sandbox, log + printed)
        return report(load, retirement, log, sandbox / "mail", rotations, replaced, seconds, waiting, leaks)


def rotate_and_replace(config: Path, host: Host, load: Load) -> str:
    """Rotates. After the hosts were told, and before AWSCURRENT moves, replaces one of them. Returns all output."""
    ask_sandbox("rotation", {"hold_before": "testSecret"})
    with ThreadPoolExecutor(1) as beside:
        rotation = beside.submit(deployer, "rotate", config)
        try:
            wait_for_hold(rotation.done)
            load.leave_out(host.postfix.port)
            printed = host.make_anew()
            load.take_in(host.postfix.port)
        finally:
            ask_sandbox("rotation", {"hold_before": ""})
        if " has DEPLOYING, access key " not in printed:
            raise SystemExit(f"soak: {host.instance} took another credential than the other hosts: {printed}")
        print(f"soak: replaced {host.instance}", flush=True)
        return printed + rotation.result()


def wait_for_hold(ended: Callable[[], bool]) -> None:
    """Waits until the hosts were told and the rotation waits."""
    deadline = time.monotonic() + HOLD_SECONDS
    while ask_sandbox("state")["rotations"][-1]["status"] != "held":
        if ended() or time.monotonic() > deadline:
            raise SystemExit("soak: the rotation did not stop before testSecret")
        time.sleep(0.2)


def write_config(file: Path) -> Path:
    """Writes config.example.yaml, but with all hosts, slots that are free again after seconds, and every log line."""
    text = (EXAMPLES.parent / "config.example.yaml").read_text()
    changes = {
        "keep_previous: 24h": f"keep_previous: {KEEP_PREVIOUS_SECONDS}s",
        "keep_inactive: 72h": "keep_inactive: 0s",
        "  id: i-0123456789abcdef0\n": f"  ids: [{', '.join(INSTANCES)}]\n",
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


def find_secrets(sandbox: Path, text: str) -> list[str]:
    """Says which logs, or this text, have an issued secret; never the secret itself."""
    found = ask_sandbox("state")
    secrets = found["secret_access_keys"] + found["smtp_passwords"] + found["rotation_tokens"]
    assert secrets, "the sandbox has issued nothing to search for"
    texts = {"what Postfix logged or the deployer printed": text}
    logs = [*sandbox.glob("*.jsonl"), *sandbox.glob("*.log"), *(sandbox / "logs").iterdir()]
    texts |= {str(log): log.read_text(errors="replace") for log in logs}
    return [f"a secret is in {place}" for place, text in texts.items() if any(secret in text for secret in secrets)]


def report(
    load: Load,
    retirement: Retirement,
    log: str,
    mail: Path,
    rotations: int,
    replaced: int,
    seconds: float,
    waiting: int,
    leaks: list[str],
) -> int:
    """Prints the figures. Returns 0 if every accepted mail arrived unchanged, none bounced and no secret was logged."""
    arrived = compare(load.accepted, mail)
    bounced = len(re.findall(r" status=(?:bounced|expired)", log))
    figures = {
        "rotations": rotations,
        "hosts": len(INSTANCES),
        "hosts replaced": replaced,
        "seconds": round(seconds),
        "accepted": len(load.accepted),
        "accepted per second": round(len(load.accepted) / seconds, 1),
        "delivered": arrived.delivered,
        "duplicates": arrived.duplicates,
        "access keys used": len(set().union(*arrived.access_keys.values())),
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
    keys_of_hosts = [len(keys) for keys in arrived.access_keys.values()]
    with_each_key = keys_of_hosts == [rotations + 1] * len(INSTANCES)
    with_retirement = bool(retirement.deleted and retirement.kept) and not retirement.failures
    passed = intact and under_load and with_each_key and with_retirement and not leaks
    print("soak: every mail arrived" if passed else "soak: FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
