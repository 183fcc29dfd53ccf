"""TLS in front of the sandbox, whose API is plain HTTP: on AWS, every client needs memory for TLS and for its roots."""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import botocore
import trustme


class TlsFront:
    """Passes bytes on unchanged, so that the signatures of requests stay valid."""

    def __init__(self, behind: str) -> None:
        self._behind = urlsplit(behind)
        self._authority = trustme.CA(organization_name="footprint")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="TLS", daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.endpoint = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def write_roots(self, file: Path, *others: Path) -> None:
        """Writes the public roots, as many as a Lambda function has, and the sandbox's own."""
        public = Path(botocore.__file__).with_name("cacert.pem")
        parts = [path.read_bytes() for path in (public, *others)] + [self._authority.cert_pem.bytes()]
        file.write_bytes(b"\n".join(parts))

    async def _listen(self) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until either side hangs up, as a function does when its process ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
