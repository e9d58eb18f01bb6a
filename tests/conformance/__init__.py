"""HTTP to the letter for a gateway: each rule of the RFCs that concerns one, and the bytes that show that it is kept.

table          the rules, one row each, with the cases that show them; ``python -m conformance`` prints it to be read
cases          what a case is: bytes sent, and what must come of them on both sides
framing        requests whose length is told well, badly, or twice
heads          request lines, Host, and fields
passage        what goes through, what is taken out, what is answered here
answers        what upstreams send
recorder       an upstream that keeps every byte, and a reader of answers
peers          nginx and HAProxy as gateways in front of the same recorder

differences.toml holds every case that nginx or HAProxy sees otherwise, with the reason why we see it as we do.
Each case is followed by a probe on the same connection: what is read twice would show there.
"""
