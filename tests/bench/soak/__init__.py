"""The soak: mixed clients, an upstream and a token server that fail, secrets that change; minutes or hours of it.

plan      PURE: what the next request is, and what its client must get
ledger    PURE: what the upstreams did to each
upstream  answers each request as its target says, drops connections, takes none for a while
clients   send the requests, each kind in its own way, and see what comes back
verdict   PURE: whether what a client saw, and what the log says of it, is what the faults demand
gauge     the proxy's memory and descriptors, over time
run       all of it together

The rule of this package: every request bears a number in its target, by which client, upstream and log are compared;
nothing that a fault cannot account for is forgiven.
"""
