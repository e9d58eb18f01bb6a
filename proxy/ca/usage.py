"""What ``--help`` says of the commands about the local authority; the documents test runs its examples."""

from __future__ import annotations

from typing import Final

CA: Final = """\
Make a local authority, for clients whose RapidSOS URLs begin with https:// and that can be given an HTTPS proxy.  They
ask the proxy for a tunnel (CONNECT); with `intercept = true` on its listener the proxy ends their TLS itself, with a
certificate that this authority signs, and what is inside gets its token and its record as any other request does."""
CA_END: Final = """\
examples:
  rapidsos-proxy ca init --dir /etc/rapidsos-proxy

`rapidsos-proxy ca init --help` says more."""

INIT: Final = """\
Make a local authority: a certificate for the clients to trust, and its key for the proxy, mode 0600, in two files,
rapidsos-proxy-ca.crt and rapidsos-proxy-ca.key.  Files that are there are not overwritten.  It then prints where to
import the certificate on Windows, in Java and elsewhere, and the lines for the configuration.

Whoever has the key can pose as RapidSOS to the clients that trust the certificate, so it can vouch for rapidsos.com and
the names below it, and for nothing else (name constraints, RFC 5280).  --host names other hosts in its place.  Nearly
every client understands that: Windows, Java, OpenSSL, GnuTLS, NSS.  A few small TLS libraries refuse a certificate that
says it; for them alone there is --any-host, and such a key must be guarded like a password to the whole Internet."""
INIT_END: Final = """\
examples:
  rapidsos-proxy ca init --dir /etc/rapidsos-proxy --name 'PSAP North RapidSOS proxy'
  rapidsos-proxy ca init --host rapidsos.com --host lis.example

exit code 0: made.  2: arguments, files that are there, or a directory that cannot be written."""
