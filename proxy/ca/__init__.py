"""A local authority: clients that trust it believe that the proxy is the RapidSOS host that they asked for.

issuing    certificates: the authority's own, and one for a host
authority  what the configuration names: read, judged, tried; contexts for hosts
founding   a new one in two files, and what to do with them
usage      what ``--help`` says
"""
