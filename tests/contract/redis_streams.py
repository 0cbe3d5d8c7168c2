"""Whether deploy/examples/read_events.py reads the events of a gateway, with the user of deploy/redis-streams.md.

GATEWAY is the program gateway_process. Its Redis and its configuration are made here. The oracle is the stream itself.
"""

import argparse
import collections
import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy/examples/read_events.py"
PAGE = ROOT / "deploy/redis-streams.md"
STREAM = "{outdial}:events"
USER, PASSWORD = "crm", secrets.token_hex(16)
PUSH_TOKEN = secrets.token_hex(16)
BODIES, RESULTS = 8, 50
# Longer than any batch takes on a busy machine, unless its consumer is stuck.
PATIENT_MS, IMPATIENT_MS = 60_000, 500
LIMIT_SECONDS = 60

CONFIG = """
[listen]
api = "127.0.0.1:0"
push = "127.0.0.1:0"
admin = "127.0.0.1:0"
[http]
workers = 1
drain = "0s"
[store]
url = "{url}"
[[auth.issuers]]
issuer = "https://login.example.com/"
audience = "outdial"
hs256_secret = "{secret}"
[[accounts]]
id = "wc-1"
vendor = "wellcloud"
app_id = "{secret}"
app_secret = "{secret}"
push_token = "{push_token}"
"""


def eventually(what, look):
    """Looks until there is something, for a while at most."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not come about: {what}")


@contextlib.contextmanager
def running(command, **options):
    """A process that ends with the block."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def push_results(address, body):
    """Pushes as WellCloud does (WellCloud contract 3)."""
    results = [
        {
            "id": str(1000 * body + number), "callId": f"call-{body}-{number}", "activityId": "spring", "batchId": "b-1",
            "round": 1, "state": 0, "msg": 0, "failMsg": "成功", "agent": "5902@ocm.test", "prdType": "123T",
            "startTime": 1510211815000, "respondTime": 1510211831000, "endTime": 1510211831000,
        }
        for number in range(RESULTS)
    ]
    request = urllib.request.Request(
        f"http://{address}/push/wc-1/{PUSH_TOKEN}",
        data=json.dumps(results).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as response:
        assert response.status == 200, response.status


class Test:
    """A Redis with the user of the page, and what its consumers said."""

    def __init__(self, place, port):
        self.place, self.port = place, port
        self.admin = redis.Redis(port=port, decode_responses=True, protocol=2)

    def make_user(self):
        line = next(line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("    ACL SETUSER"))
        words = [f">{PASSWORD}" if word == ">PASSWORD" else word for word in line.split()]
        assert words[2] == USER and f"~{STREAM}" in words, line
        self.admin.execute_command(*words)

    def check_user(self):
        """The user harms neither the log nor what else is in the store."""
        user = redis.Redis(port=self.port, username=USER, password=PASSWORD)
        for command in (
            f"XADD {STREAM} * event x", f"XTRIM {STREAM} MAXLEN 0", f"XDEL {STREAM} 1-0", f"DEL {STREAM}",
            f"EXPIRE {STREAM} 1", f"XSETID {STREAM} 1-0", f"XGROUP DESTROY {STREAM} calls", "HGETALL {outdial}:log",
            "XREADGROUP GROUP calls a STREAMS {outdial}:log >", "KEYS *", "FLUSHALL", "EVAL return 0", "CONFIG GET *",
        ):
            try:
                user.execute_command(*command.split(" "))
            except redis.exceptions.NoPermissionError:
                continue
            raise AssertionError(f"{USER} may {command}")

    def consumer(self, group, name, claim_after, stdout):
        environment = {
            **os.environ, "REDIS_URL": f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.port}/0", "STREAM": STREAM,
            "GROUP": group, "CONSUMER": name, "CLAIM_AFTER_MS": str(claim_after),
        }
        return running([sys.executable, str(EXAMPLE)], env=environment, stdout=stdout)

    def waiting(self):
        """How many connections of the user wait for events."""
        return sum(found["user"] == USER and "b" in found["flags"] for found in self.admin.client_list())

    def consumers(self, group):
        groups = self.admin.xinfo_groups(STREAM) if self.admin.exists(STREAM) else []
        if not any(found["name"] == group for found in groups):
            return {}
        return {found["name"]: found for found in self.admin.xinfo_consumers(STREAM, group)}

    def written(self):
        return [json.loads(fields["event"])["id"] for _, fields in self.admin.xrange(STREAM)]

    def is_read(self, group):
        """Whether everything was given to the group, and acknowledged."""
        found = next(found for found in self.admin.xinfo_groups(STREAM) if found["name"] == group)
        last = self.admin.xinfo_stream(STREAM)["last-generated-id"]
        return found["last-delivered-id"] == last and found["pending"] == 0

    def share_without_a_death(self, push):
        """Both are there before the first event: each event is handled once."""
        said = [self.place / name for name in "ab"]
        with said[0].open("wb") as out_a, said[1].open("wb") as out_b:
            with self.consumer("calls", "a", PATIENT_MS, out_a) as a, self.consumer("calls", "b", PATIENT_MS, out_b) as b:
                eventually("both wait for events", lambda: self.waiting() == 2)
                for body in range(BODIES):
                    push(body)
                eventually("the group has read everything", lambda: self.is_read("calls"))
                for process in (a, b):
                    process.terminate()
                for process in (a, b):
                    assert process.wait(LIMIT_SECONDS) == 0, "it does not end well on SIGTERM"
        handled = [handled_events(path.read_bytes()) for path in said]
        assert all(handled), f"one handled nothing: {[len(events) for events in handled]}"
        counts = collections.Counter(handled[0] + handled[1])
        assert counts == collections.Counter(self.written()), "not every event was handled exactly once"
        return len(counts)

    def share_with_a_death(self):
        """One is killed while it handles an event: nobody reads what it says, so it gets stuck. The other takes over."""
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        said = self.place / "c"
        with open(reader, "rb") as pipe, said.open("wb") as out:
            with self.consumer("audit", "victim", PATIENT_MS, writer) as victim:
                os.close(writer)

                def stuck():
                    found = self.consumers("audit").get("victim")
                    return found and found["pending"] > 0 and found["idle"] > 300

                eventually("the victim is stuck", stuck)
                with self.consumer("audit", "heir", IMPATIENT_MS, out) as heir:
                    eventually("the heir is at work", lambda: said.stat().st_size > 0)
                    victim.kill()
                    eventually("the group has read everything", lambda: self.is_read("audit"))
                    heir.terminate()
                    assert heir.wait(LIMIT_SECONDS) == 0, "it does not end well on SIGTERM"
            by_victim, by_heir = handled_events(pipe.read()), handled_events(said.read_bytes())
        written = set(self.written())
        assert by_victim and set(by_victim) < written, f"the victim handled {len(by_victim)}"
        assert set(by_victim) | set(by_heir) == written, "not every event was handled"


def handled_events(said):
    """The events whose lines are whole: in the middle of another one its consumer died."""
    return [line.split()[0] for line in said.decode().split("\n")[:-1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateway", metavar="GATEWAY")
    gateway = parser.parse_args().gateway
    with contextlib.ExitStack() as stack:
        place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        safe = "--save,,--appendonly,yes,--appendfsync,always,--maxmemory-policy,noeviction".split(",")
        server = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), *safe]
        stack.enter_context(running(server, stdout=subprocess.DEVNULL))
        test = Test(place, port)
        eventually("redis-server takes connections", lambda: answers(test.admin))
        test.make_user()
        config = place / "outdial.toml"
        values = {"url": f"redis://127.0.0.1:{port}/0", "secret": secrets.token_hex(32), "push_token": PUSH_TOKEN}
        config.write_text(CONFIG.format(**values), "utf-8")
        log = stack.enter_context((place / "log").open("wb"))
        started = stack.enter_context(running([gateway, str(config)], stdout=subprocess.PIPE, stderr=log))
        addresses = json.loads(started.stdout.readline() or sys.exit((place / "log").read_text("utf-8")))
        events = test.share_without_a_death(lambda body: push_results(addresses["push"], body))
        assert events == BODIES * RESULTS, f"{events} events came of {BODIES * RESULTS} results"
        test.share_with_a_death()
        test.check_user()
    print(f"{events} events, twice by two consumers")


if __name__ == "__main__":
    main()
