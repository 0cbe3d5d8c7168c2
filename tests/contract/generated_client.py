"""Whether a client that OpenAPI Generator makes of openapi.yaml can be used.

Each operation is called through the generated client. A stub answers with each example that the contract gives of a JSON
answer, and what the client makes of it has to be the example again, nulls included.
"""

import argparse
import datetime
import http.server
import importlib
import json
import pathlib
import shutil
import subprocess
import sys
import threading

import yaml

PACKAGE = "outdial_client"


class Contract:
    """openapi.yaml, with references followed."""

    def __init__(self, path):
        # Times stay text: the contract's examples are JSON.
        loader = type("Loader", (yaml.SafeLoader,), {})
        loader.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        self.document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)

    def resolve(self, node):
        while "$ref" in node:
            steps = node["$ref"].removeprefix("#/").split("/")
            node = self.document
            for step in steps:
                node = node[step.replace("~1", "/").replace("~0", "~")]
        return node

    def operations(self):
        for path, item in self.document["paths"].items():
            for method in ("get", "post", "put", "patch", "delete"):
                if method in item:
                    operation = item[method]
                    shared = item.get("parameters", []) + operation.get("parameters", [])
                    parameters = [self.resolve(parameter) for parameter in shared]
                    yield path, method, operation, parameters

    def json_examples(self, operation):
        """Status, media type and value of each example of a JSON answer."""
        for status, response in operation["responses"].items():
            for media_type, content in self.resolve(response).get("content", {}).items():
                if media_type in ("application/json", "application/problem+json"):
                    for example in content.get("examples", {}).values():
                        yield int(status), media_type, self.resolve(example)["value"]


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers every request with what was put into `answer`, and keeps what was asked."""

    answer = (200, "application/json", b"")
    asked = None

    def handle_any(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, media_type, body = Stub.answer
        Stub.asked = (self.command.lower(), self.path.partition("?")[0], self.headers.get("Authorization"))
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_):
        pass


def generate(contract, directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    command = ["openapi-generator-cli", "generate", "--generator-name", "python", "--input-spec", str(contract)]
    command += ["--output", str(directory), "--package-name", PACKAGE]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not (directory / PACKAGE / "__init__.py").exists():
        sys.exit(f"no client was made:\n{made.stdout}")
    sys.path.insert(0, str(directory))
    return importlib.import_module(PACKAGE)


def find_method(package, client, operation_id):
    for name in dir(package):
        if name.endswith("Api") and hasattr(getattr(package, name), operation_id):
            return getattr(getattr(package, name)(client), operation_id)
    sys.exit(f"the client has no {operation_id}")


def arguments_of(package, contract, operation, parameters):
    """What an operation cannot be called without."""
    given = {
        parameter["name"]: parameter.get("example", contract.resolve(parameter["schema"]).get("example", "1"))
        for parameter in parameters
        if parameter.get("required")
    }
    body = contract.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json")
    if body:
        name = body["schema"]["$ref"].rpartition("/")[2]
        example = contract.resolve(next(iter(body["examples"].values())))["value"]
        snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
        given[snake] = getattr(package, name).from_dict(example)
    return given


def comparable(value):
    """JSON, in which one moment has one spelling."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, str) and len(value) >= 20 and value[4:5] == "-" and "T" in value:
        try:
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        except ValueError:
            return value
    return value


def read_answer(package, method, arguments):
    try:
        answer = method(**arguments)
    except package.ApiException as problem:
        answer = problem.data
    return json.loads(answer.to_json()) if hasattr(answer, "to_json") else answer


def check(package, contract, address):
    configuration = package.Configuration(host=address, access_token="not-a-secret")
    client = package.ApiClient(configuration)
    wrong, operations, examples = [], 0, 0
    for path, verb, operation, parameters in contract.operations():
        operations += 1
        method = find_method(package, client, operation["operationId"])
        arguments = arguments_of(package, contract, operation, parameters)
        for status, media_type, example in contract.json_examples(operation):
            examples += 1
            Stub.answer = (status, media_type, json.dumps(example).encode())
            place = f"{operation['operationId']} {status}"
            read = read_answer(package, method, arguments)
            if comparable(read) != comparable(example):
                wrong.append(f"{place}: the client makes of it {json.dumps(read, ensure_ascii=False)}")
            if Stub.asked[0] != verb or Stub.asked[1].count("/") != path.count("/"):
                wrong.append(f"{place}: the client asked for {Stub.asked[:2]}")
            if (Stub.asked[2] == "Bearer not-a-secret") != bool(operation.get("security")):
                wrong.append(f"{place}: the client's Authorization header is {Stub.asked[2]}")
    return wrong, operations, examples


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("contract", type=pathlib.Path)
    arguments.add_argument("directory", type=pathlib.Path, help="where the client is made")
    arguments = arguments.parse_args()
    package = generate(arguments.contract.resolve(), arguments.directory.resolve())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wrong, operations, examples = check(package, Contract(arguments.contract), f"http://127.0.0.1:{server.server_port}")
    print(f"{operations} operations, {examples} examples of answers")
    if wrong or not examples:
        sys.exit("\n".join(wrong) or "the contract has no example")


if __name__ == "__main__":
    main()
