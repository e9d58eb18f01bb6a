"""A sealed traffic log verified: what ``rapidsos-proxy traffic verify`` does.

command   the keys, the files, and how it ended
files     the lines of a log, in the order in which they were written
progress  how far it is, for whoever waits at a terminal
usage     what ``--help`` says
"""
