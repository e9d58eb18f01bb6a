"""The data path: a client's bytes to an upstream and back, in plain calls unless something has to be waited for.

listener   the sockets that clients connect to
entrance   what the connections of a listener come in by
client     one client's connection: requests in, answers out
secure     TLS between a socket and a client's connection
tunnel     those that clients ask for (CONNECT), and that end here
records    TLS records out of what was read, no more than a turn may take: PURE
handshakes  how much of a turn they have; those that failed, told of in measure
transfer   one exchange under way: token, connection, request, answer, and every way it can end
asking     the request's way to the upstream, and what is kept of it for a second try
answering  the answer's way to the client, or one of our own
echoes     tokens that went into queries, kept from coming back: PURE
occupancy  who is here, in all and of each client, and whether there is room
rate       how often one client may ask: PURE
gate       who may send what, by which route, with whose token
persons    whose token, where the client says so
breaker    whether an upstream that has failed is tried again: PURE
pool       the connections to one destination
dial       a new connection: name, address, corporate proxy, TLS
guard      which addresses a name may lead to: PURE
upstream   one upstream connection: a request out, its answer in
wire       our end of one connection: sends gathered, reading paused
turn       the end of a turn of the loop: what it brought is sent, what it closed is recorded
relay      what all exchanges share: limits, clocks, the sweep, the observers
plan       all of it that hangs on the configuration, used as a whole
build      configuration to a relay, or to a plan for it
"""
