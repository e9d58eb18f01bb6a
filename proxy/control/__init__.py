"""The control socket: how commands of this machine talk to the running proxy.

The rule of this package: whoever may open the socket may command, so it is this user's alone, and root's.

place     where the socket is: as configured, or in a directory of this user's own
claim     takes the place: a dead proxy's socket is replaced, a live one's is not
peer      who is at the other end
server    what is answered
trust     whose proxy a command believes
client    how a command asks
table     what people are shown of credentials
usage     what --help says of these commands
reload    `rapidsos-proxy reload`
token     `rapidsos-proxy token status` and `token refresh`
"""
