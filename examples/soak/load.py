"""A constant stream of mails, and the comparison of accepted and arrived mails."""

from __future__ import annotations

import email
import email.policy
import random
import smtplib
import string
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MAILS_PER_SECOND = 8
SENDER = "load@example.com"
RECIPIENT = "someone@elsewhere.example"
SESSION_SECONDS = 10


@dataclass(frozen=True)
class Mail:
    """A mail that the Postfix on this port answered with 250."""

    body: str
    port: int


class Load:
    """Sends to each Postfix in turn, from its own thread. Opens a connection for each mail, as small programs do."""

    def __init__(self, ports: list[int]) -> None:
        self.accepted: dict[str, Mail] = {}
        """By Message-ID."""
        self.refused: list[str] = []
        """The error of each mail that Postfix did not accept: its sender must repeat it."""
        self.seconds = 0.0
        self._ports = list(ports)
        self._sending = threading.Lock()
        self._random = random.Random(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_until_stopped, name="load")

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Stops after the current mail."""
        self._stop.set()
        self._thread.join()

    def leave_out(self, port: int) -> None:
        """Sends nothing more to this port."""
        with self._sending:
            self._ports.remove(port)

    def take_in(self, port: int) -> None:
        """Sends to this port from now on."""
        with self._sending:
            self._ports.append(port)

    def _send_until_stopped(self) -> None:
        began = time.monotonic()
        number = 0
        # By the clock, not by pauses: after a slow answer, the next mails follow sooner.
        while not self._stop.wait(max(0.0, began + number / MAILS_PER_SECOND - time.monotonic())):
            number += 1
            with self._sending:
                port = self._ports[number % len(self._ports)]
                self._send(f"<{number}.{self._random.getrandbits(64):x}@soak.example.com>", port)
        self.seconds = time.monotonic() - began

    def _send(self, message_id: str, port: int) -> None:
        body = self._body()
        header = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: Load\r\nMessage-ID: {message_id}\r\n"
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=SESSION_SECONDS) as session:
                session.sendmail(SENDER, [RECIPIENT], f"{header}\r\n{body}")
                self.accepted[message_id] = Mail(body, port)
        except (OSError, smtplib.SMTPException) as error:
            if message_id not in self.accepted:
                self.refused.append(f"{message_id}: {error}")

    def _body(self) -> str:
        """Lines of all lengths; some begin with a dot, which SMTP has to escape."""
        letters = string.ascii_letters + string.digits + " .=-"
        lines = [
            self._random.choice(("", ".", "..")) + "".join(self._random.choices(letters, k=self._random.randrange(78)))
            for _ in range(self._random.randrange(1, 40))
        ]
        return "".join(f"{line}\r\n" for line in lines)


@dataclass
class Arrivals:
    """What the relay host received of the accepted mails."""

    delivered: int = 0
    duplicates: int = 0
    access_keys: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The keys with which the Postfix on each port delivered."""
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def compare(accepted: dict[str, Mail], mail: Path) -> Arrivals:
    """Searches for each accepted mail among the files in `mail`."""
    found = Arrivals()
    copies: Counter[str] = Counter()
    for file in mail.glob("*.eml"):
        header, _, body = file.read_bytes().partition(b"\r\n\r\n")
        message = email.message_from_bytes(header, policy=email.policy.default)
        message_id = str(message["Message-ID"])
        if message_id not in accepted:
            continue  # a test mail, or the proof of the host's script
        copies[message_id] += 1
        found.access_keys[accepted[message_id].port].add(str(message["X-Access-Key-Id"]))
        if body != accepted[message_id].body.encode():
            found.changed.append(message_id)
    found.delivered = len(copies)
    found.duplicates = copies.total() - len(copies)
    found.lost = [message_id for message_id in accepted if message_id not in copies]
    return found
