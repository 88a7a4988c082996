"""Five checks of the deployed function: invocation, error handling, performance, load, logs.

Exits with 1 where a check fails. A check that has no data to judge by fails too, and says so.
Settings come from the environment; the defaults are in `settings`.
"""

import json
import os
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ERROR_PATTERNS = ("ERROR", "Task timed out", "Process exited", "Runtime exited", "Unhandled")


class Failed(Exception):
    """A check did not pass; the text says why, with numbers."""


@dataclass(frozen=True)
class Settings:
    function: str
    alias: str
    samples: int
    max_p50: float
    max_p95: float
    max_p99: float
    load: int
    concurrency: int
    max_error_rate: float
    logs_wait: float


def settings() -> Settings:
    def number(name: str, default: float) -> float:
        text = os.environ.get(name, "")
        try:
            return float(text) if text else default
        except ValueError:
            sys.exit(f"{name} is {text!r}, which is not a number")

    environment = os.environ.get("ENVIRONMENT") or "staging"
    return Settings(
        function=os.environ.get("FUNCTION_NAME") or f"lambda-function-{environment}",
        alias=os.environ.get("ALIAS_NAME") or "live",
        samples=int(number("SAMPLES", 50)),
        max_p50=number("MAX_P50_MS", 500),
        max_p95=number("MAX_P95_MS", 1500),
        max_p99=number("MAX_P99_MS", 3000),
        load=int(number("LOAD_INVOCATIONS", 100)),
        concurrency=int(number("LOAD_CONCURRENCY", 10)),
        max_error_rate=number("MAX_ERROR_RATE_PERCENT", 0),
        logs_wait=number("LOGS_WAIT_SECONDS", 60),
    )


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile: a value that really occurred."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


@dataclass(frozen=True)
class Answer:
    milliseconds: float
    payload: object = None
    error: str | None = None
    throttled: bool = False


class Function:
    def __init__(self, chosen: Settings):
        self.settings = chosen
        # No retries: a throttle that the SDK hides is still a throttle.
        config = Config(
            retries={"max_attempts": 1, "mode": "standard"},
            max_pool_connections=chosen.concurrency,
            read_timeout=60,
        )
        self.client = boto3.client("lambda", config=config)
        # One entry for each invocation that Lambda took; appending is safe in threads.
        self.taken: list[bool] = []

    def invoke(self, payload: object) -> Answer:
        began = time.perf_counter()
        try:
            response = self.client.invoke(
                FunctionName=self.settings.function,
                Qualifier=self.settings.alias,
                Payload=json.dumps(payload).encode(),
            )
            body = response["Payload"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            throttled = code == "TooManyRequestsException"
            return Answer(elapsed(began), error=f"{code}: {error.response['Error']['Message']}", throttled=throttled)
        except BotoCoreError as error:
            return Answer(elapsed(began), error=str(error))
        self.taken.append(True)
        if response.get("FunctionError"):
            return Answer(elapsed(began), error=f"{response['FunctionError']}: {body[:300].decode(errors='replace')}")
        return Answer(elapsed(began), payload=json.loads(body))


def elapsed(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def invocation(function: Function) -> str:
    answer = function.invoke({"action": "create", "data": {"name": "test"}})
    if answer.error:
        raise Failed(f"create failed: {answer.error}")
    payload = answer.payload
    if not (isinstance(payload, dict) and payload.get("ok") is True and payload["item"]["name"] == "test"):
        raise Failed(f"create answered {json.dumps(payload)}")
    listed = function.invoke({"action": "list"})
    if listed.error or not isinstance(listed.payload["items"], list):
        raise Failed(f"list answered {listed.error or json.dumps(listed.payload)}")
    return f"create and list answered; create took {answer.milliseconds:.0f} ms"


def error_handling(function: Function) -> str:
    cases = [
        ({"action": "explode"}, "UnknownAction"),
        ({"action": "create"}, "InvalidInput"),
        ({"action": "create", "data": {"name": 5}}, "InvalidInput"),
        ({"action": "read", "data": {"id": "not-there"}}, "NotFound"),
        ({"action": "create", "data": {"name": "x", "more": "x" * 20_000}}, "TooLarge"),
        ([], "InvalidInput"),
    ]
    for payload, code in cases:
        answer = function.invoke(payload)
        shown = json.dumps(payload)[:80]
        if answer.error:
            raise Failed(f"{shown} made the function fail: {answer.error}")
        got = answer.payload.get("error", {}).get("code") if isinstance(answer.payload, dict) else None
        if got != code:
            raise Failed(f"{shown} answered {got}, not {code}")
    return f"{len(cases)} kinds of bad input answered with their codes"


def performance(function: Function) -> str:
    chosen = function.settings
    function.invoke({"action": "list"})  # a cold start is not what is measured
    answers = [function.invoke({"action": "list", "data": {"limit": 1}}) for _ in range(chosen.samples)]
    errors = [answer.error for answer in answers if answer.error]
    if errors:
        raise Failed(f"{len(errors)} of {len(answers)} invocations failed; the first: {errors[0]}")
    times = [answer.milliseconds for answer in answers]
    found = {percent: percentile(times, percent) for percent in (50, 95, 99)}
    numbers = ", ".join(f"p{percent} {value:.0f} ms" for percent, value in found.items()) + f" of {len(times)}"
    for percent, bound in ((50, chosen.max_p50), (95, chosen.max_p95), (99, chosen.max_p99)):
        if found[percent] > bound:
            raise Failed(f"{numbers}: p{percent} is above {bound:.0f} ms")
    return numbers


def load(function: Function) -> str:
    chosen = function.settings
    payload = {"action": "list", "data": {"limit": 1}}
    began = time.perf_counter()
    with ThreadPoolExecutor(chosen.concurrency) as pool:
        answers = list(pool.map(lambda _: function.invoke(payload), range(chosen.load)))
    seconds = time.perf_counter() - began
    throttles = sum(answer.throttled for answer in answers)
    errors = [answer.error for answer in answers if answer.error and not answer.throttled]
    rate = 100 * len(errors) / len(answers)
    numbers = (
        f"{len(answers)} invocations, {chosen.concurrency} at a time, in {seconds:.1f} s: "
        f"{throttles} throttled, {len(errors)} failed ({rate:.1f} %)"
    )
    if throttles:
        raise Failed(f"{numbers}: throttled; raise the function's reserved concurrency")
    if rate > chosen.max_error_rate:
        raise Failed(f"{numbers}: more than {chosen.max_error_rate:g} %; the first: {errors[0]}")
    return numbers


def logs(function: Function, since: float) -> str:
    chosen = function.settings
    group = f"/aws/lambda/{chosen.function}"
    client = boto3.client("logs")
    deadline = time.monotonic() + chosen.logs_wait
    while True:
        events = []
        try:
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(since * 1000), PaginationConfig={"MaxItems": 20_000}
            )
            events = [event["message"] for page in pages for event in page["events"]]
        except client.exceptions.ResourceNotFoundException:
            pass
        # Lines arrive late: the check waits until as many invocations as were made above can be seen.
        invocations = sum(message.startswith("REPORT ") for message in events)
        if invocations >= len(function.taken) or time.monotonic() > deadline:
            break
        time.sleep(1)
    if invocations < len(function.taken):
        raise Failed(
            f"of {len(function.taken)} invocations {invocations} appeared in {group} within {chosen.logs_wait:.0f} s: "
            "not enough to judge by"
        )
    bad = [message for message in events if any(pattern in message for pattern in ERROR_PATTERNS)]
    if bad:
        raise Failed(f"{len(bad)} of {len(events)} lines in {group} speak of errors; the first: {bad[0][:300].strip()}")
    return f"{len(events)} lines of {invocations} invocations in {group}, none of an error"


def report(results: list[tuple[str, float, str, bool]]) -> None:
    """JUnit, as CodeBuild reads it."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    failures = sum(not passed for *_, passed in results)
    lines.append(f'<testsuite name="integration" tests="{len(results)}" failures="{failures}">')
    for name, seconds, text, passed in results:
        lines.append(f'  <testcase classname="integration" name={quoteattr(name)} time="{seconds:.3f}">')
        tag = "system-out" if passed else "failure"
        attribute = "" if passed else f" message={quoteattr(printable(text))}"
        lines.append(f"    <{tag}{attribute}>{quoteattr(printable(text))[1:-1]}</{tag}>")
        lines.append("  </testcase>")
    lines.append("</testsuite>")
    directory = pathlib.Path("reports")
    directory.mkdir(exist_ok=True)
    (directory / "integration.xml").write_text("\n".join(lines) + "\n")
    (directory / "integration.txt").write_text(f"{len(results) - failures} of {len(results)} passed")


def printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def main() -> int:
    function = Function(settings())
    since = time.time()
    checks = [
        ("basic invocation", invocation),
        ("error handling", error_handling),
        ("performance", performance),
        ("load", load),
        ("logs", lambda function: logs(function, since)),
    ]
    print(f"Testing {function.settings.function}:{function.settings.alias}")
    results = []
    for name, check in checks:
        began = time.perf_counter()
        try:
            text, passed = check(function), True
        except (Failed, ClientError, BotoCoreError, KeyError, TypeError, ValueError) as error:
            text, passed = f"{error}" if isinstance(error, Failed) else f"{type(error).__name__}: {error}", False
        results.append((name, time.perf_counter() - began, text, passed))
        print(f"{'PASSED' if passed else 'FAILED'}  {name}: {text}", flush=True)
    report(results)
    return 0 if all(passed for *_, passed in results) else 1


if __name__ == "__main__":
    sys.exit(main())
