"""Short-lived tokens: got from an authorization server, kept fresh, handed to the relay without a wait.

token          PURE  what a token is, the key it is kept under, what is told about one
policy         PURE  every number of the token policy, with its reason
schedule       PURE  when the next token call is due; when a rejected token may be replaced
grants         PURE  credential to token request (RFC 6749)
answers        PURE  token answer to token, or why not
rejection      PURE  whether an upstream's answer says that its token is dead
explain        PURE  a failure in plain words, with the next step
clock          the clock that runs through suspend, and timers
cache          where tokens are kept (cachetools.TLRUCache)
fetch          one token call over HTTP (aiohttp)
source         what the relay sees, and who is told
bearer         the source that calls: its refresher, its one flight
waiters        the requests that wait for that flight
history        PURE  what its calls came to, counted and told
report         PURE  how it stands, what a call of it came to, why it has no token
people         persons who prove themselves
person         the source of each
logins         PURE  what the calls for all of them came to, counted and told; whether their client is refused
newcomers      PURE  those whom nobody has proved yet, and who of them gives way
turnstile      so many calls for them at a time, of each client
basic          the source of a constant
store          PURE  what a source asks of a store; the one that stores nothing
stored         PURE  a token as it is stored
seal           encryption of what is stored
file_store     tokens in a file, for a restart
sealed_file    that file, replaced whole
redis_store    tokens in Redis, for several proxies
redis_scripts  PURE  what Redis does in one step each
redis_link     whether Redis is there, lost or back
stores         configuration to store
build          configuration to sources
"""
