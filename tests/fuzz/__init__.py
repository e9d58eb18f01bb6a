"""Fuzzing: whatever bytes come, no crash, no hang, no leak, no smuggled byte; ``make fuzz`` goes on for longer.

table          the harnesses by name: each is a function that takes any bytes and asserts what must hold
heads          heads of requests and answers, against other parsers
requests       what a client sends, in any pieces, and what of it an upstream reads
answers        what an upstream sends, in any pieces, and what of it a client reads
chunks         bodies in chunks, against other parsers
targets        targets, hosts, routes, tokens in a query
redaction      secrets and live tokens in documents of any shape
token_answers  what a token endpoint says
logins         Basic credentials
passage        the way through the proxy, from bytes to bytes, without a socket
peers          how httptools, aiohttp and h11 read the same bytes
supply         bytes spent on choices
mutation       inputs changed at random, from a seed
corpus         the inputs kept: one a line, as Python writes bytes, in a file for each harness
guided         one harness under atheris, which looks for inputs that reach new code
"""
