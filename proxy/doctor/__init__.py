"""The doctor: every link of the way to RapidSOS looked at once, and the broken one named, with whose it is and the fix.

command      what the command does
printer      who is told of findings while they come
plan         configuration to checks, and what hangs on what
check        checks that wait for one another, each with its limit
instruments  the dialler and the token call of `serve`, with shorter limits
reach        the way to a host: name, TCP, the corporate proxy's tunnel
handshake    TLS, and who stands in between
line         one connection: a question and its answer
calls        a token call, and a harmless question to an upstream
ports        the proxy's own ports
finding      PURE: one link, how it stands, whose it is
grant        PURE: what a token call came to
probe        PURE: the harmless question, and what its answer says
certificate  PURE: what a certificate says
clock        PURE: our clock against others
secrets      PURE: where secrets come from, and what is odd about them
report       PURE: findings as people and programs are told them

It sends what `serve` would send, once: a token call for each credential, and one question that changes nothing to each
upstream.  Nothing goes to ingress, and nothing is kept.  A login that `serve` gets from clients it does not invent: a
wrong one counts against somebody's account.
"""
