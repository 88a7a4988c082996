"""Starts moto for the local cloud.

Prints `PORT <number>` once it listens, and ends when its standard input closes: the parent holds the
other end, so that moto never outlives it, however the parent died.
"""

import contextlib
import functools
import os
import sys
import threading

os.environ.setdefault("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "true")
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

from moto.awslambda.models import LambdaBackend
from moto.backends import get_backend
from moto.core.responses import BaseResponse
from moto.dynamodb.models import DynamoDBBackend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

# Loaded ahead of their first request; each takes some hundred milliseconds to import.
SERVICES = ["s3", "iam", "sts", "sns", "sqs", "dynamodb", "secretsmanager", "logs", "ssm", "kms"]


class QuietHandler(MotoRequestHandler):
    """Keeps connections open, and does not write a line per request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_args, **_kwargs):
        pass


def end_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def one_at_a_time(backend, *names):
    """Makes writes atomic, as DynamoDB's are: moto looks at a condition and then writes, and between the
    two another thread would write as well."""
    lock = threading.RLock()

    def guarded(method):
        @functools.wraps(method)
        def call(*args, **kwargs):
            with lock:
                return method(*args, **kwargs)

        return call

    for name in names:
        setattr(backend, name, guarded(getattr(backend, name)))


def serially(services):
    """Serves one request after the other: moto looks through what a service keeps while another thread adds to
    it, and Python then ends the first with an error."""
    locks = {service: threading.RLock() for service in services}
    plain = BaseResponse.call_action

    @functools.wraps(plain)
    def call_action(response):
        with locks.get(response.service_name, contextlib.nullcontext()):
            return plain(response)

    BaseResponse.call_action = call_action


def load_services():
    for service in SERVICES:
        get_backend(service)


def main():
    # moto would run the function in Docker; the local cloud's own engine invokes it.
    LambdaBackend.send_sns_message = lambda *_args, **_kwargs: None
    serially(["iam", "kms", "logs", "secretsmanager", "sns", "ssm", "sts"])
    one_at_a_time(DynamoDBBackend, "put_item", "update_item", "delete_item", "transact_write_items")
    server = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=QuietHandler,
    )
    server.daemon_threads = True
    threading.Thread(target=end_with_parent, daemon=True).start()
    threading.Thread(target=load_services, daemon=True).start()
    print(f"PORT {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
