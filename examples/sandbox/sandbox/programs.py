"""The programs that a host script finds on its host."""

from __future__ import annotations

import sys
from pathlib import Path

QUICK_AWS = Path(__file__).with_name("host_aws")


def link_programs(folder: Path) -> None:
    """Makes links to `aws`, which is quick where the example scripts call it and else `aws-cli`, the AWS CLI; and to `python3`."""
    python = Path(sys.executable)
    for command, program in {"aws": QUICK_AWS, "aws-cli": python.with_name("aws"), "python3": python}.items():
        link = folder / command
        link.unlink(missing_ok=True)
        link.symlink_to(program)
