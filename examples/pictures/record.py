"""Records all that a command writes to a terminal.

    record.py [--type TEXT] [--until TEXT] COLUMNS COMMAND...

--type: what a person types, before the command asks. --until: end the recording a moment after this was written, with what
the terminal shows then.
"""

import argparse
import fcntl
import os
import pty
import struct
import sys
import termios
import time

# Long enough for the display to be drawn in full.
MOMENT = 0.6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("columns", type=int)
    parser.add_argument("--type", default="")
    parser.add_argument("--until")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, arguments.columns, 0, 0))
        os.execvp(arguments.command[0], arguments.command)
    os.write(terminal, arguments.type.encode())
    print("$ " + " ".join(["deployer", *arguments.command[1:]]) + "\r", flush=True)
    written, seen_at = b"", None
    while seen_at is None or time.monotonic() < seen_at + MOMENT:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # The command has ended.
            break
        written += some
        if seen_at is None and arguments.until and arguments.until.encode() in written:
            seen_at = time.monotonic()
    sys.stdout.buffer.write(written)
    sys.stdout.flush()
    # The command goes on to its end, so that the next one finds what it made.
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass
    os.waitpid(child, 0)


main()
