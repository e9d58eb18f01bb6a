"""Proxies that an engineer might choose instead of ours, each adding the same kind of token.

table       which there are, and how one is run
peer        what a peer is; the place that it is given

envoy       credential_injector, tokens by client credentials, a JSON access log
nginx       a token that it is given, a buffered access log with the request's body
haproxy     a token that it is given, no log
mitmproxy   an addon that adds a token (addon)
tutorial    aiohttp on both sides, as a tutorial would write it (bench.tutorial_proxy)

A module writes its configuration into the place that it is given, and returns the command to run.  Each is set up as
somebody would who knows it and wants it fast: one worker, connections kept alive on both sides, the upstream's
certificate verified.
"""
