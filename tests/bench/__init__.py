"""Commands that measure the whole proxy, each as a process of its own, on this machine alone.

race            `make bench`: requests per second and CPU side by side with other proxies
soak            `make soak`: mixed load, upstreams and a token server that fail, secrets that change; nothing is lost
large_bodies    `make bodies`: bodies of a gigabyte, and the memory that they take
record_cost     what one traffic record costs the event loop

weather         what befalls the token server
process         a process that is measured: its core, its CPU time, its memory
proxies         the proxies that race, and how each is started
tutorial_proxy  the proxy that a tutorial would write
upstream, load  nginx and wrk, or the stand-ins for them
stand_ins       an upstream and a load generator for machines without nginx or wrk
traffic_file    the traffic log, read back
report          medians, ratios, the table, the JSON
bodies          large bodies, sent and checked
"""
