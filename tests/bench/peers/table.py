"""Which peers there are."""

from __future__ import annotations

from bench.peers import envoy, haproxy, mitmproxy, nginx, tutorial
from bench.peers.peer import Peer
from bench.programs import ENVOY, HAPROXY, MITMDUMP, NGINX, OWN_PYTHON

ENVOY_PEER = Peer("Envoy", "JSON log of headers", ENVOY, envoy.prepare, keeps_log=True)
NGINX_PEER = Peer("nginx", "buffered log, request body", NGINX, nginx.prepare, keeps_log=True)
HAPROXY_PEER = Peer("HAProxy", "no log", HAPROXY, haproxy.prepare)
MITMPROXY_PEER = Peer("mitmproxy", "no log", MITMDUMP, mitmproxy.prepare)
TUTORIAL_PEER = Peer("aiohttp tutorial", "no log", OWN_PYTHON, tutorial.prepare)

PEERS = (ENVOY_PEER, NGINX_PEER, HAPROXY_PEER, MITMPROXY_PEER, TUTORIAL_PEER)
