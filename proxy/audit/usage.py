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

With --config alone, the log that the file names is read: what was put aside, then what is written to.  Files are put in
order by the numbers of their lines, whatever they are called.  Files ending in .gz are unpacked on the way.

After a change of the key, give the old ones with --key-file in the order of their use; the newest comes last, or from
--config.  What an old key has sealed is proved by the place where the next one begins, so read the log up to there.

A log whose oldest files were removed (traffic_log.retain, retain_size) begins in the middle; that is told, and no
failure.  Whether lines were cut off from its end is known by a small file beside it, .NAME.seal: keep the two together,
or the end is not proved."""
VERIFY_END: Final = """\
examples:
  rapidsos-proxy traffic verify --config /etc/rapidsos-proxy/proxy.toml
  rapidsos-proxy traffic verify --key-file seal.key archive/traffic.jsonl.*.gz
  rapidsos-proxy traffic verify --key-file old.key --key-file new.key traffic.jsonl.* traffic.jsonl

exit code 0: every line holds.  1: one does not, and is named.  2: arguments, the configuration, or a file that cannot
be read."""
