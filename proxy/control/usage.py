"""What ``--help`` says of the commands that ask the running proxy; the documents test runs its examples."""

from __future__ import annotations

from typing import Final

ASK: Final = """\
Ask the running proxy how its credentials stand, or have it fetch new tokens.  The command finds the proxy by its
control socket: that of the same --config and the same user, or the one that --control names.  No secret is read, and
none is shown."""
ASK_END: Final = """\
examples:
  rapidsos-proxy token status
  rapidsos-proxy token refresh --credential core

`rapidsos-proxy token status --help` and `rapidsos-proxy token refresh --help` say more."""

RELOAD: Final = """\
Have the running proxy read its configuration again, and wait for what comes of it; SIGHUP does the same without an
answer.  No exchange is dropped.  The file is checked as `check` does it, its new ports are taken, and each new or
changed credential must get a token.  If anything is wrong, nothing is changed, and it is told here and in the proxy's
log with the fix.  Keys that need a restart are named."""
RELOAD_END: Final = """\
examples:
  rapidsos-proxy reload
  rapidsos-proxy reload --config /etc/rapidsos-proxy/proxy.toml

The proxy reads the file that it was started with; --config is for its control socket alone.

exit code 0: reloaded.  1: the proxy does not answer.  2: refused, or arguments."""

STATUS: Final = """\
Show each credential of the running proxy: whether a token is at hand, which (by the first 12 digits of its SHA-256),
until when, when the next is fetched, how far the token server's clock is from ours, and what went wrong last, with the
next step."""
STATUS_END: Final = """\
examples:
  rapidsos-proxy token status
  rapidsos-proxy token status --config /etc/rapidsos-proxy/proxy.toml --credential core
  rapidsos-proxy token status --json

states:
  usable              requests are served
  usable, failing     they are still served, with the old token; the next one could not be fetched so far
  NO TOKEN            they wait, and get 503
  constant            a Basic login, which needs no token
  per person, 2 here  each dispatcher's login gets a token of its own (from_client = "basic"); so many have, or wait
                      for, one.  Nothing is known against it, also where nobody has asked; a wrong login counts for
                      nothing here
  …, failing          whoever has a token is served with it; the last call, for another, failed
  …, NO TOKEN         the last call failed, and nobody has a token: all of them get 503

exit code 0: every credential is usable.  1: one is not, or the proxy does not answer.  2: arguments."""

REFRESH: Final = """\
Have the running proxy fetch a new token now, one call for each credential, and wait for what comes of it.  A secret
from a command or the keyring is asked for first.  Requests go on with the old token meanwhile, and keep it if the call
fails.  After a refusal, or where the token server has asked
for patience, no call is made before its time; --force makes it all the same.  Take care with a person's password: one
more refusal may lock the account.  Where each dispatcher's login gets a token of its own (from_client = "basic") there
is nothing to refresh; a user whom clients may name is a credential by himself, as in dispatchers/alice."""
REFRESH_END: Final = """\
examples:
  rapidsos-proxy token refresh
  rapidsos-proxy token refresh --credential core --credential edx
  rapidsos-proxy token refresh --credential core --force      # the secret was just put right at RapidSOS

exit code 0: every one has a new token, or needs none.  1: one has not, or the proxy does not answer.  2: arguments."""
