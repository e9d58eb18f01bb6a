"""What ``--help`` says of the commands that read the traffic log; the documents test runs its examples."""

from __future__ import annotations

from typing import Final

TRAFFIC: Final = """\
Look into the traffic log that the proxy has written."""
TRAFFIC_END: Final = """\
examples:
  rapidsos-proxy traffic verify --config /etc/rapidsos-proxy/proxy.toml

`rapidsos-proxy traffic verify --help` says more."""

VERIFY: Final = """\
Prove that a sealed traffic log is what was written, or name the first line that is not: changed, inserted, moved, there
twice, or missing.  It takes the key that the log was sealed with (traffic_log.seal), and may run beside the proxy.

With --config alone, the log that the file names is read: what was put aside, then what is written to.  Files that the
proxy has put aside (NAME.20261124T090535.914000Z) are put in order; others are read in the order given, so begin with
the oldest.  Files ending in .gz are unpacked on the way.

A log whose oldest files were removed (traffic_log.retain) begins in the middle; that is told, and no failure.  Whether
lines were cut off from its end is known by a small file beside it, .NAME.seal: keep the two together, or the end is not
proved."""
VERIFY_END: Final = """\
examples:
  rapidsos-proxy traffic verify --config /etc/rapidsos-proxy/proxy.toml
  rapidsos-proxy traffic verify --key-file seal.key archive/traffic.jsonl.*.gz
  rapidsos-proxy traffic verify --key-file new.key --key-file old.key traffic.jsonl.* traffic.jsonl

exit code 0: every line holds.  1: one does not, and is named.  2: arguments, the configuration, or a file that cannot
be read."""
