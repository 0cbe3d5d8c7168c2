"""What schemathesis has to be told of our media types."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson", "text/csv")
def lines(_context, value):
    """Texts are sent as they are; whatever else it thinks of, as JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
