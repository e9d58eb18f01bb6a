"""The traffic record: from a closed exchange to a line of JSON that is safe to keep.

record    exchange to record, in the contract's shape                      (pure)
decode    what of a body stands in it: text, base64, decompressed, withheld (pure)
names     which names say that a secret follows: the one list of them       (pure)
heads     redaction by name: the values of header fields                    (pure)
values    redaction by name: the values in queries, forms, JSON and XML     (pure)
covers    redaction by name: what is left of values that may be shown in part (pure)
spelling  redaction by name: names that are spelled with escapes           (pure)
redact    redaction by value: the configured secrets, wherever they are     (pure)
variants  every form that a secret can take on its way                      (pure)
live      redaction by value: the live tokens, however many                (pure)
fold      escapes undone, at a bounded price                                (pure)
finder    searches for many strings at once                                 (pure)
render    structlog's chain cut to one step: build, render, redact
writer    the queue and the thread between the event loop and the sink
sink      standard output, or a file
rotate    names, ages and ends of log files
seal      lines numbered, and bound to one another by a keyed hash           (pure)
sealed    a file whose lines are sealed on their way into it
newest    where a sealed log stands: its end, and what is kept beside it
verify    the first line of a sealed log that is not what was written       (pure)
log       TrafficLog: all of it together
tally     counters and histograms beside the log                            (pure)
"""
