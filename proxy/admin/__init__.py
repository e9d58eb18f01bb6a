"""The admin listener: what an operator, a probe and a metrics server may ask the running proxy.

view      what this package needs to know of the proxy, as a shape; it imports no part of the data path
app       builds the application: paths, order of the checks
guard     refuses rebound host names and other sites' pages
login     HTTP Basic, with a limit on guessing
health    /live and /ready
tokens    /api/tokens
metrics   /metrics: counts and states as Prometheus families
answers   JSON documents, problems and the fields that every answer bears
"""
