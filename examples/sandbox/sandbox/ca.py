"""The certificate authority of this run, and the certificate of the SMTP endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def make(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Makes a CA and a server certificate for 127.0.0.1 and localhost.

    Writes the CA's certificate to `directory`/ca.pem. Returns its path and the server's TLS context. The private keys
    exist only in this process.
    """
    authority = trustme.CA(organization_name="sandbox")
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return ca_file, context
