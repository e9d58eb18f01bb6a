"""rapidsos-auth-proxy: plain HTTP from legacy 911 systems in, authenticated HTTPS to RapidSOS out, all of it logged.

The map, in the order in which a request passes:

config      a file and the environment to a frozen, checked Config; nothing else reads either
http        PURE: heads, framing, targets, who may be asked for, fields in and out, our own answers
routing     PURE: (listener, target, method, client, fields) -> route and path
tokens      a credential to a token that is at hand before it is needed
relay       the data path: client's bytes to the upstream and back
traffic     a closed exchange to one line of JSON that is safe to keep, and to counters
admin       health, metrics, token state
control     commands to the running proxy
simulator   RapidSOS in a box, with faults to switch on
doctor      every link between here and RapidSOS looked at, and the broken one named

errors      every error raised on purpose, by whose fault it was
exchange    the one noun: a request, its answer, its attempts and times, and its one outcome
observer    who is told when an exchange closes or a token call ends
tasks       tasks with an owner
threads     blocking work that may hang
resolver    names to addresses, in threads that hang alone
tls         the one way out that is verified
certificates  what a listener of TLS is built from
renewal     certificates that change while it runs: noticed, checked, used
ca          a local authority, which clients of tunnels trust
interception  what tunnels are opened with: renewed each day, and when the authority is
printable   text that a terminal can be shown
logs        the operational log, on standard error
disk        what keeps a file from being written, and the fix
lock        one proxy at a time for one file
ownership   whose a file is that is written to
process     what the process asks of Python and libc
descriptors  how many files and sockets may be open
program     how it is called from here
version     which version this is
rotation    secrets that change while it runs: noticed, hidden, used
changeover  from one configuration to another, with exchanges under way
reload      when that is asked for, and what came of it
signals     what the process is told to do by signals
hangup      SIGHUP, before there is a loop to take it
service     builds everything from the configuration; start, drain, stop
audit       a sealed traffic log verified, as a command
demo        the service against the simulator, on one machine
simulate    the simulator as a command
cli         serve, demo, check, reload, doctor, token, traffic, ca, simulate; exit codes
__main__    ``python -m proxy``

Imports go one way: errors <- PURE <- I/O <- SHELL <- cli (tests/unit/test_architecture.py).  docs/design.md says why.
"""
