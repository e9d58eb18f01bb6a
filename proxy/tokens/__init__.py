"""Short-lived tokens: got from an authorization server, kept fresh, handed to the relay without a wait.

token     PURE  what a token is, the key it is kept under, what is told about one
policy    PURE  every number of the token policy, with its reason
schedule  PURE  when the next token call is due; when a rejected token may be replaced
grants    PURE  credential to token request (RFC 6749)
answers   PURE  token answer to token, or why not
explain   PURE  a failure in plain words, with the next step
clock     the clock that runs through suspend, and timers
cache     where tokens are kept (cachetools.TLRUCache)
fetch     one token call over HTTP (aiohttp)
source    what the relay sees, and who is told
bearer    the source that calls: its refresher, its one flight
waiters   the requests that wait for that flight
history   what its calls came to, counted and told
basic     the source of a constant
build     configuration to sources
"""
