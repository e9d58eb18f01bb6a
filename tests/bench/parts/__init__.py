"""The parts of a race, each of which can be run alone.

table       which there are

throughput  requests per second at 32 connections, towards an upstream over plain HTTP and over TLS
latency     what a proxy adds to the time of one connection's requests
crowd       CPU time of an exchange at 32 and at 2,000 connections
memory      of an idle proxy, and of each client that keeps a connection open
bodies      100 MiB down and up
refresh     whether anybody notices that tokens are renewed
workers     what a second process brings
"""
