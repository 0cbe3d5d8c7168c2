"""Reads Outdial's events from Redis as one consumer of a group: each event goes to one of them.

REDIS_URL      redis://USER:PASSWORD@HOST:6379/0, the user of deploy/redis-streams.md
STREAM         {outdial}:events, with the gateway's store.prefix in the braces
GROUP          the name of the service
CONSUMER       the name of this process: the host's, which in Kubernetes is the pod's
CLAIM_AFTER_MS how long an event may be with a consumer before another one takes it: longer than any batch takes
"""

import json
import logging
import os
import signal
import socket

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
STREAM = os.environ.get("STREAM", "{outdial}:events")
GROUP = os.environ.get("GROUP", "example")
CONSUMER = os.environ.get("CONSUMER", socket.gethostname())
CLAIM_AFTER_MS = int(os.environ.get("CLAIM_AFTER_MS", "60000"))
BATCH = 10
BLOCK_MS = 1000


def handle(event):
    """The service's own work. An event can come again, so what is done by its id is done once. No numbers in the log."""
    print(event["id"], event["type"], event["subject"], flush=True)


def handle_batch(client, entries):
    """Handles entries and acknowledges each one afterwards; one that fails stays, and is claimed again later."""
    for entry, fields in entries:
        try:
            handle(json.loads(fields["event"]))
        except Exception:
            logging.exception("%s is not handled", entry)
        else:
            client.xack(STREAM, GROUP, entry)


def claim_abandoned(client):
    """What a consumer took and did not acknowledge in time; ours from before a restart, too."""
    start = "0-0"
    while True:
        start, entries, trimmed = client.xautoclaim(STREAM, GROUP, CONSUMER, CLAIM_AFTER_MS, start, count=BATCH)
        if trimmed:
            logging.error("trimmed before they were handled: %s", trimmed)
        handle_batch(client, entries)
        if start == "0-0" or stopping:
            return


def stop(*_):
    global stopping
    stopping = True


stopping = False
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
# A Redis that stays away ends the process, and Kubernetes starts it again.
connection = redis.Redis.from_url(
    URL, decode_responses=True, protocol=2, socket_timeout=10, retry=Retry(ExponentialBackoff(cap=5, base=0.1), 10)
)
try:
    # From the oldest event there is; "$" instead of "0" is from now on.
    connection.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
except redis.ResponseError as error:
    if not str(error).startswith("BUSYGROUP"):
        raise
while not stopping:
    claim_abandoned(connection)
    for _, batch in connection.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=BATCH, block=BLOCK_MS) or []:
        handle_batch(connection, batch)
