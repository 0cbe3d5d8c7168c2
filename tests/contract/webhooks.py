"""Whether readers that are not ours can verify and read what is delivered over webhooks.

Runs COMMAND with the address of a receiver in WEBHOOK_URL. The command makes a gateway deliver there, and writes one line of
JSON for each path: {"path", "secrets", "deliveries", "events"}: every secret has to verify every delivery there, and so many
different ones have to come, with so many different events. Repeated deliveries are fine, if they are the same.
"""

import argparse
import http.server
import json
import os
import subprocess
import sys
import threading

from cloudevents.core.formats.json import JSONFormat
from standardwebhooks import Webhook, WebhookVerificationError

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# Nobody signs with this one.
STRANGER = "whsec_c3RyYW5nZXItc3RyYW5nZXItc3RyYW5nZXItISE="


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps every request."""

    protocol_version = "HTTP/1.1"
    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Receiver.requests.append((self.path.partition("?")[0], dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def verifies(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def check_signature(secrets, headers, body):
    for number, secret in enumerate(secrets):
        if not verifies(secret, headers, body):
            yield f"secret {number} does not verify it"
        if verifies(secret, headers, body + b" "):
            yield f"secret {number} verifies another body"
        if verifies(secret, {**headers, "webhook-id": "evt_other"}, body):
            yield f"secret {number} verifies another id"
    if verifies(STRANGER, headers, body):
        yield "any secret verifies it"
    if len(headers.get("webhook-signature", "").split(" ")) != len(secrets):
        yield f"it has not one signature for each of {len(secrets)} secrets"


def read_events(headers, body):
    """The CloudEvents SDK reads one event at a time; a list is JSON."""
    content_type = headers.get("content-type")
    if content_type == EVENT:
        return [JSONFormat().read(None, body)]
    if content_type == BATCH:
        return [JSONFormat().read(None, json.dumps(item)) for item in json.loads(body)]
    raise ValueError(f"its type is {content_type}")


def check_event(event):
    attributes = event.get_attributes()
    account = event.get_extension("account")
    if event.get_specversion() != "1.0" or event.get_datacontenttype() != "application/json":
        yield f"it is no CloudEvents 1.0 with JSON: {attributes}"
    if not event.get_id().startswith("evt_") or not event.get_type().startswith("io.outdial."):
        yield f"its id or type is strange: {attributes}"
    if not account or event.get_source() != f"/accounts/{account}" or not event.get_extension("vendor"):
        yield f"its source is not its account: {attributes}"
    if not event.get_subject() or event.get_time() is None or event.get_time().utcoffset() is None:
        yield f"it lacks its subject or time: {attributes}"
    if not (event.get_extension("sequence") or "").isdigit() or not isinstance(event.get_data(), dict):
        yield f"it lacks its sequence or data: {attributes}"


def check_path(expected, requests):
    """What is wrong at one path."""
    bodies, events = {}, set()
    for headers, body in requests:
        delivery = headers.get("webhook-id")
        if bodies.setdefault(delivery, body) != body:
            yield f"{delivery} came with two bodies"
        for problem in check_signature(expected["secrets"], headers, body):
            yield f"{delivery}: {problem}"
        found = read_events(headers, body)
        if headers["content-type"] == EVENT and found[0].get_id() != delivery:
            yield f"{delivery} is not the id of its event"
        for event in found:
            events.add(event.get_id())
            for problem in check_event(event):
                yield f"{delivery}: {problem}"
    if len(bodies) != expected["deliveries"] or len(events) != expected["events"]:
        yield f"{len(bodies)} deliveries with {len(events)} events came"


def check_in_node(directory, cases):
    """The same signatures, by the library for JavaScript."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "webhooks.cjs")
    lines = "\n".join(json.dumps(case) for case in cases)
    environment = {**os.environ, "NODE_PATH": os.path.join(directory, "node_modules")}
    made = subprocess.run(["node", script], input=lines, text=True, check=False, env=environment)
    return [] if made.returncode == 0 else ["the library for JavaScript says above what is wrong"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", metavar="DIRECTORY", help="where npm has installed standardwebhooks")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}"}
    made = subprocess.run(arguments.command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    wrong, cases = [], []
    for line in made.stdout.splitlines():
        expected = json.loads(line)
        requests = [
            ({name.lower(): value for name, value in headers.items()}, body)
            for path, headers, body in Receiver.requests
            if path == expected["path"]
        ]
        wrong += [f"{expected['path']}: {problem}" for problem in check_path(expected, requests)]
        for headers, body in requests:
            signed = {name: value for name, value in headers.items() if name.startswith("webhook-")}
            for secret in expected["secrets"]:
                cases.append({"secret": secret, "headers": signed, "body": body.decode()})
    if arguments.node:
        wrong += check_in_node(arguments.node, cases)
    print(f"{len(Receiver.requests)} deliveries, {len(cases)} signatures")
    if wrong or not cases:
        sys.exit("\n".join(wrong) or "nothing was delivered")


if __name__ == "__main__":
    main()
