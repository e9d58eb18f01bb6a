"""Commands that measure the whole proxy, each as a process of its own, on this machine alone.

race            `make bench`: our proxy side by side with others, each on a core of its own; floors and goals
soak            `make soak`: mixed load, upstreams and a token server that fail, secrets that change; nothing is lost
large_bodies    `make bodies`: bodies of a gigabyte, and the memory that they take
record_cost     what one traffic record costs the event loop

Of the race:

parts           what is raced: throughput, latency, memory and others, each of which can run alone
peers           the proxies that it is raced against, and how each is set up
tutorial_proxy  the one that a tutorial would write
track           what all parts share: rounds, and how one proxy is measured in one of them
work            what is asked and answered
upstream, load  nginx and wrk
bulk            an upstream and a client for large bodies
programs        where programs of others are found, and what brings a missing one
machine         the machine, its cores, the versions of what takes part
result          rounds, medians, ratios, the JSON and the CSV
goals           floors and goals, and how a result stands to them
report, chart   the table and the picture

Of others too:

process         a process that is measured: its core, its CPU time, its memory
proxies         our proxy as a process
traffic_file    the traffic log, read back
bodies          large bodies, sent and checked
weather         what befalls the token server
"""
