"""A certificate for loopback that signs itself, for servers that speak TLS in tests."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Two files; clients trust `chain` itself."""

    chain: Path
    key: Path


def certificate_in(folder: Path) -> Certificate | None:
    """A new one in `folder`; None where there is no openssl."""
    if not shutil.which("openssl"):
        return None
    made = Certificate(folder / "chain.pem", folder / "key.pem")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(made.key)]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *key, "-out", str(made.chain), "-days", "2", *name]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made
