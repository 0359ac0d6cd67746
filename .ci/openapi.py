"""What schemathesis is told of requests: rows of JSON are sent as they are, and where a click leads is not followed, since it
leads to somebody else."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def rows(context, value):
    return schemathesis.serializers.Binary(value) if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["allow_redirects"] = False
