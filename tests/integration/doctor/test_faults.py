"""The doctor names the broken link, whose it is and nothing else: each fault is made for real, over real sockets."""

from __future__ import annotations

MACHINE, NETWORK, RAPIDSOS, CONFIGURATION = "this machine", "the centre's network", "RapidSOS", "the configuration"
SANDBOX = "api-sandbox.rapidsos.com"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
