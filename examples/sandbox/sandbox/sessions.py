"""Temporary credentials of a role, as EC2 and Lambda get them for what runs as the role."""

from __future__ import annotations

import time

from ministack.core.responses import new_uuid
from ministack.services import iam, sts

from . import iam as sandbox_iam


def assume(account: str, role: str, role_id: str, session_name: str, seconds: int) -> dict[str, str]:
    """New credentials of a role, as the environment of a process.

    No caller of AssumeRole can get them: the role trusts only the service. So this enters the session in the emulator's
    table without the call.
    """
    key = iam._gen_session_access_key()
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session_name}",
        "UserId": f"{role_id}:{session_name}",
        "SecretAccessKey": iam._gen_secret(),
        "SessionToken": new_uuid(),
        "Expiration": time.time() + seconds,
        "AccountId": account,
        "PrincipalType": "AssumedRole",
    }
    sts.register_session(key, session)
    sandbox_iam.note_issued(session["SecretAccessKey"])
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
