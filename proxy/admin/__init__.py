"""The admin listener: what an operator, a probe and a metrics server may ask the running proxy.

view      what this package needs to know of the proxy, as a shape; nothing of the data path runs here
app       builds the applications: paths, order of the checks
door      the addresses that they are asked at: so many connections, each for so long
crowd     who is in, and who makes room for a newcomer
guard     refuses rebound host names and other sites' pages
login     HTTP Basic, with a limit on guessing
health    /live and /ready
tokens    /api/tokens
metrics   /metrics: counts and states as Prometheus families
answers   JSON documents, problems and the fields that every answer bears
"""
