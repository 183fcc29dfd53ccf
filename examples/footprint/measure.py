"""The measurement, inside with-sandbox. `run` starts it."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from subject import PROGRAM, Subject, subjects, zip_of
from tls_front import TlsFront

FUNCTION = "mail-prod-rotation"
SECRET = "mail-prod/smtp"
KEEP_PREVIOUS_SECONDS = 2
ROTATION_SECONDS = 120
START_SECONDS = 30
MOST_ZIP_BYTES = 3_000_000
MOST_MEMORY_BYTES = 24 << 20
FIRST_POLL = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"


def main(target: Path, starts: int) -> int:
    """Measures, and prints the figures. Returns the exit code."""
    sandbox = Path(os.environ["SANDBOX_DIR"])
    ours, empty, python = measured = subjects(target, sandbox)
    ours_zip = deploy(sandbox)
    empty_zip = len(zip_of(PROGRAM, Path(empty.command[0]).read_bytes()))
    sizes = {ours: megabytes(ours_zip), empty: megabytes(empty_zip), python: "in the runtime"}
    memory = measure_memory(sandbox, {ours: rotate, empty: invoke_four_times, python: rotate})
    times = time_starts(measured, starts)
    print(f"{'':14} {'bootstrap.zip':>14} {'start, median':>14} {'middle half':>14} {'peak memory':>14}")
    for subject in measured:
        low, median, high = statistics.quantiles(times[subject], n=4)
        start = (f"{median:.1f} ms", f"{low:.1f}-{high:.1f} ms")
        figures = (sizes[subject], *start, f"{memory[subject] / 2**20:.1f} MiB")
        print(f"{subject.name:14}" + "".join(f" {figure:>14}" for figure in figures))
    if ours_zip <= MOST_ZIP_BYTES and memory[ours] <= MOST_MEMORY_BYTES:
        return 0
    print("footprint: FAILED: ours is over 3 MB, or over 24 MiB of memory", file=sys.stderr)
    return 1


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def measure_memory(sandbox: Path, work: dict[Subject, Callable[[], None]]) -> dict[Subject, int]:
    """Deploys each subject in turn as the function's code. Returns its peak memory in bytes during its work."""
    front = TlsFront(os.environ["AWS_ENDPOINT_URL"])
    roots = sandbox / "roots.pem"
    front.write_roots(roots, Path(os.environ["SANDBOX_CA_FILE"]))
    variables = {"AWS_ENDPOINT_URL": front.endpoint, "SSL_CERT_FILE": str(roots), "AWS_CA_BUNDLE": str(roots)}
    memory = {}
    for subject, do_work in work.items():
        put_code(subject.as_code(variables))
        do_work()
        memory[subject] = subject.peak_memory()
    return memory


def deploy(sandbox: Path) -> int:
    """Deploys, and rotates until both slots are taken: a measured rotation must free one. Returns the zip's size."""
    example = (Path(__file__).parents[2] / "config.example.yaml").read_text()
    text, count = re.subn("keep_previous: 24h", f"keep_previous: {KEEP_PREVIOUS_SECONDS}s", example)
    assert count == 1, "config.example.yaml has another keep_previous now"
    text, count = re.subn("keep_inactive: 72h", "keep_inactive: 0s", text)
    assert count == 1, "config.example.yaml has another keep_inactive now"
    config = sandbox / "footprint.yaml"
    config.write_text(text)
    for verb in (("apply", "--auto-approve"), ("rotate",)):
        done = subprocess.run(["deployer", *verb, config], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}{done.stderr}\nfootprint: deployer {verb[0]} exited with {done.returncode}")
    return boto3.client("lambda").get_function_configuration(FunctionName=FUNCTION)["CodeSize"]


def put_code(package: bytes) -> None:
    """Replaces the function's code, and keeps its role and its environment."""
    client = boto3.client("lambda")
    client.update_function_code(FunctionName=FUNCTION, ZipFile=package)
    client.get_waiter("function_updated_v2").wait(FunctionName=FUNCTION, WaiterConfig={"Delay": 1})


def rotate() -> None:
    """Runs one rotation to its end."""
    time.sleep(KEEP_PREVIOUS_SECONDS + 1)  # LastRotatedDate is in whole seconds
    token = boto3.client("secretsmanager").rotate_secret(SecretId=SECRET)["VersionId"]
    deadline = time.monotonic() + ROTATION_SECONDS
    while (rotation := rotation_of(token))["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    if rotation["status"] != "complete" or len(rotation["history"]) != 4:
        raise SystemExit(f"footprint: the rotation is {rotation['status']}: {rotation['history']}")


def rotation_of(token: str) -> dict[str, Any]:
    state = os.environ["AWS_ENDPOINT_URL"] + "/_sandbox/state"
    request = urllib.request.Request(state, headers={"X-Sandbox-Token": os.environ["SANDBOX_TOKEN"]})
    with urllib.request.urlopen(request) as answer:
        rotations = json.load(answer)["rotations"]
    return next(rotation for rotation in rotations if rotation["token"] == token)


def invoke_four_times() -> None:
    """Invokes the function as often as a rotation does."""
    for _ in range(4):
        answer = boto3.client("lambda").invoke(FunctionName=FUNCTION, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()


def time_starts(measured: tuple[Subject, ...], starts: int) -> dict[Subject, list[float]]:
    """Starts the subjects in turns, so that other load on the machine affects all alike. Turn 0 warms caches."""
    times: dict[Subject, list[float]] = {subject: [] for subject in measured}
    for turn in range(starts + 1):
        for subject in measured:
            milliseconds = time_start(subject)
            if turn > 0:
                times[subject].append(milliseconds)
    return times


def time_start(subject: Subject) -> float:
    """Milliseconds from the start of the process to its first poll of the Runtime API, which is this function."""
    with socket.create_server(("127.0.0.1", 0)) as runtime_api:
        runtime_api.settimeout(START_SECONDS)
        address = f"127.0.0.1:{runtime_api.getsockname()[1]}"
        environment = {**subject.environment, b"AWS_LAMBDA_RUNTIME_API": address.encode()}
        began = time.perf_counter()
        process = subprocess.Popen(subject.command, env=environment, stdout=subprocess.DEVNULL)
        try:
            connection, _ = runtime_api.accept()
            request = connection.recv(len(FIRST_POLL), socket.MSG_WAITALL)
            milliseconds = (time.perf_counter() - began) * 1000
        finally:
            process.kill()
            process.wait()
        connection.close()  # only now: otherwise the program would report an error
    assert request == FIRST_POLL, f"{subject.name} began with {request!r}"
    return milliseconds


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
