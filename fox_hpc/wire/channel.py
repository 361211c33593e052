"""Lanes of the wire and kinds of message; the seed's table of channels and topics."""

CALL = "fox/call"
"""Calls between server and sites, and their replies."""
WORKER = "fox_worker"
"""Life of a worker or relay: join, welcome, refuse, ready, event, shutdown."""
METRICS = "fox_metrics"
"""Tracking; may drop under pressure."""

CHANNELS = (CALL, WORKER, METRICS)

KINDS = (
    "call",  # run a function (fox/call)
    "reply",  # the answer to a call (fox/call)
    "ack",  # the answer has arrived, forget it (fox/call); or all batches up to a number (fox_metrics)
    "cancel",  # nobody waits for the answer any more (fox/call)
    "join",  # relay → server: I serve these sites (fox_worker)
    "welcome",  # server → relay: this is the run (fox_worker)
    "refuse",  # server → relay: you may not join (fox_worker)
    "ready",  # worker → server: I hold the lease of this site and attempt (fox_worker)
    "event",  # relay → server: what happened to a site's job (fox_worker)
    "data",  # relay → worker: this port of mine takes data connections (fox_worker)
    "shutdown",  # server → relay or worker: the run is over (fox_worker)
    "hang",  # another rank → rank 0: this rank stays in a collective, or has gone on (fox_worker)
    "log",  # a batch of tracked entries (fox_metrics)
)
