"""A new local authority, in two files, and in plain words what to do with them.

The rule of this file: nothing that is there is overwritten, for clients may trust it; and the key can be read by its
owner alone from its first byte on.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.ca.issuing import build_authority, from_timestamp
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography import x509

CERTIFICATE_FILE, KEY_FILE = "rapidsos-proxy-ca.crt", "rapidsos-proxy-ca.key"
"""``.crt``, since Windows opens that with a double click; it is PEM, which every other system takes too."""
KEY_MODE, CERTIFICATE_MODE = 0o600, 0o644

_NEXT = """\
Made a local authority: {name}
  certificate  {certificate}  (for the clients; no secret)
  key          {key}  (for the proxy alone; never copy it to a client)
  vouches for  {scope}
  good until   {until}
  SHA-256      {fingerprint}

1. The proxy's user must be able to read the key:
     chown PROXY-USER {key}

2. Add to the proxy's configuration, then run `rapidsos-proxy check` and start the proxy again:

     [[listener]]
     intercept = true              # on the listener that these clients use

     [interception]
     ca_certificate = {quoted_certificate}
     ca_key = {quoted_key}

3. On each client, and on no other machine, import the certificate as a trusted root authority:
     Windows    double-click the file, "Install Certificate", "Local Machine", "Trusted Root Certification Authorities";
                or, as administrator:  certutil -addstore Root {file}
     Java       keytool -importcert -cacerts -alias rapidsos-proxy -file {file}    (the Java that the CAD runs on)
     Debian     copy it to /usr/local/share/ca-certificates/ and run update-ca-certificates
     Red Hat    copy it to /etc/pki/ca-trust/source/anchors/ and run update-ca-trust
     Node.js    NODE_EXTRA_CA_CERTS={file}
     Python     REQUESTS_CA_BUNDLE={file} (requests), SSL_CERT_FILE={file} (the rest)
     curl       --cacert {file}

4. Set the clients' HTTPS proxy (often the variable https_proxy) to http:// and the listener's address.

Whoever has the key can pose as {scope} to the machines that trust this certificate.
Make a new one before it ends: clients must trust the new one first."""


@dataclass(frozen=True, slots=True)
class Founded:
    """Where a new authority is.

    Attributes:
        hosts: What it may vouch for; empty for anything.
    """

    name: str
    certificate: x509.Certificate
    certificate_path: Path
    key_path: Path
    hosts: tuple[str, ...]


def found_authority(directory: Path, name: str, hosts: Sequence[str], now: float, years: int) -> Founded:
    """Make an authority, and write it.

    Args:
        directory: Made where there is none.
        name: As people will find it among the authorities that a machine trusts.
        hosts: What it may vouch for, with all names below them; empty for anything.
        now: Seconds since the epoch.
        years: How long it is good.

    Raises:
        ConfigError: If there is one, or if it cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = build_authority(name, key, hosts, from_timestamp(now), years)
    paths = directory / CERTIFICATE_FILE, directory / KEY_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_new(paths[1], key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), KEY_MODE)
        try:
            _write_new(paths[0], certificate.public_bytes(Encoding.PEM), CERTIFICATE_MODE)
        except OSError:
            paths[1].unlink()
            raise
    except FileExistsError as error:
        fix = "use it, or choose another --dir; to replace it, move both files away, and have clients trust the new one"
        raise ConfigError(str(error.filename), "is there already, and clients may trust it", fix) from error
    except OSError as error:
        fix = "choose a --dir that this user may write to"
        raise ConfigError(str(error.filename or directory), f"cannot be written ({error.strerror})", fix) from error
    return Founded(name, certificate, paths[0].absolute(), paths[1].absolute(), tuple(hosts))


def describe_founded(founded: Founded) -> str:
    """Say what was made, and what to do with it."""
    certificate, key = str(founded.certificate_path), str(founded.key_path)
    return _NEXT.format(
        name=founded.name,
        certificate=certificate,
        key=key,
        scope=_describe_scope(founded.hosts),
        until=f"{founded.certificate.not_valid_after_utc:%Y-%m-%d}",
        fingerprint=founded.certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        quoted_certificate=_quote(certificate),
        quoted_key=_quote(key),
        file=founded.certificate_path.name,
    )


def _describe_scope(hosts: Sequence[str]) -> str:
    return " and ".join(f"{host} (and names below it)" for host in hosts) or "every host of the Internet"


def _quote(path: str) -> str:
    """Write a path as TOML has it."""
    return f"'{path}'" if "'" not in path else '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet, whole or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
