"""Which route takes a request, and where it leads.

paths     prefixes of whole segments, and the spellings that could lead out of one
origin    scheme, host and port of an upstream, or of any URL
table     (listener, target, method, client, fields) -> route and path; first match wins
permits   the methods and paths that a route forwards
check     routes that make no sense
"""
