"""HTTP/1 as bytes and rules, without a socket: PURE, all of it.

head       bytes to a head, strictly (RFC 9112, sections 2 to 4)
scan       where a head ends, while it arrives in pieces
fields     field sections, parsed once and remembered (RFC 9110 and 9112, section 5 of each)
framing    where a body ends, and chunks (RFC 9112, sections 6 and 7)
authority  hosts and ports as they are written
targets    what a request is for: its target and its Host, read as one URI
admission  who may be asked for, and by whom, before any route is looked for
headers    which fields pass, and the head that leaves
basic      Basic credentials, built and read (RFC 7617)
placement  a token in the query
stub       the token endpoint for clients that speak OAuth themselves
problem    the proxy's own answers
"""
