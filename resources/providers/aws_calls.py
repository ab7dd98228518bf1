"""Calls of AWS: its SDK for signing and shapes, our exchange for the network, its errors as failures of the port.

Belongs here: clients, one call, what its end means. Does not belong here: which calls a question takes (aws).

The SDK's own network knows neither a deadline for a whole call nor an end from outside, and reads bodies of any length.
Its documented hook before sending may answer in its place (event `before-send`); that is where an exchange steps in.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from resources.providers.exchange import Exchange, retry_after_s
from resources.providers.port import CallFailure, Failed, Faulty, Refused, Vacuous

if TYPE_CHECKING:
    import botocore.awsrequest

# Codes by what they mean; each service has its own words for the same ("Common errors" of its API reference).
THROTTLED = frozenset(
    {
        "LimitExceededException", "ModelNotReadyException", "ProvisionedThroughputExceededException",
        "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "ServiceQuotaExceededException",
        "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
    }
)  # fmt: skip
THEIRS = frozenset(
    {
        "InternalError", "InternalFailure", "InternalFailureException", "InternalServerError",
        "InternalServerException", "ModelErrorException", "ModelTimeoutException", "RequestTimeout",
        "ServiceUnavailable", "ServiceUnavailableException",
    }
)  # fmt: skip
NO_KEY = frozenset(
    {
        "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId",
        "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken",
        "MissingAuthenticationTokenException", "SignatureDoesNotMatch", "UnrecognizedClientException",
    }
)  # fmt: skip
NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized"})
KEY_CURE = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


class AwsClients:
    """The SDK's clients, one for each service, region and address. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._session: Any = None
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._now = threading.local()

    @property
    def has_credentials(self) -> bool:
        """Whether the SDK finds any, in the environment, its files, or from the machine it runs on."""
        with self._lock:
            return self._opened().get_credentials() is not None

    def forget(self) -> None:
        """Drop clients and credentials; they are made and found again when needed."""
        with self._lock:
            self._session = None
            self._clients.clear()

    @contextmanager
    def over(self, exchange: Exchange) -> Iterator[None]:
        """Let the calls of this thread go over an exchange."""
        before = getattr(self._now, "exchange", None)
        self._now.exchange = exchange
        try:
            yield
        finally:
            self._now.exchange = before

    def call(self, service: str, release: Mapping[str, Any], name: str, **told: Any) -> tuple[dict[str, Any], bytes]:
        """One call: what the SDK read of its answer, and the answer's body as it came. Raises a CallFailure.

        An error whose code the caller wants to read itself arrives as the `cause` of the failure (`code_of`).
        """
        import botocore.exceptions
        import botocore.parsers

        exchange: Exchange = self._now.exchange
        try:
            answered = getattr(self._client(service, release), name)(**told)
        except botocore.exceptions.ClientError as error:
            raise _failure(error, exchange.who) from error
        except botocore.parsers.ResponseParserError as error:
            raise Vacuous(f"{exchange.who} answered well, with what cannot be read") from error
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
            raise Faulty(f"there are no credentials for {exchange.who}", cure=KEY_CURE) from error
        except botocore.exceptions.BotoCoreError as error:
            raise Faulty(f"{exchange.who} cannot be asked: {error}", cure="mend its release") from error
        return answered, self._now.body

    def _opened(self) -> Any:
        import boto3

        if self._session is None:
            self._session = boto3.Session()
        return self._session

    def _client(self, service: str, release: Mapping[str, Any]) -> Any:
        import botocore.config

        address = str(release.get("base_url") or "")
        key = (service, str(release["region"]), address)
        with self._lock:  # making one is not safe for threads, and takes a tenth of a second
            if key not in self._clients:
                config = botocore.config.Config(
                    retries={"total_max_attempts": 1, "mode": "standard"},  # one layer tries again, not this one
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path"} if address else None,
                )
                client = self._opened().client(service, region_name=key[1], endpoint_url=address or None, config=config)
                client.meta.events.register("before-send.*", self._send)
                self._clients[key] = client
            return self._clients[key]

    def _send(self, request: botocore.awsrequest.AWSPreparedRequest, **_: Any) -> botocore.awsrequest.AWSResponse:
        """Send in the SDK's place. What this raises comes out of the call as it is."""
        import httpx2
        from botocore.awsrequest import AWSResponse

        exchange: Exchange = self._now.exchange
        body: Any = request.body
        body = body.read() if hasattr(body, "read") else body
        # Expect is not signed, and nothing waits for its answer here.
        headers = {name: value for name, value in request.headers.items() if name.lower() != "expect"}
        response = exchange.handle_request(
            httpx2.Request(request.method, request.url, headers=headers, content=body or b"")
        )
        self._now.body = response.content
        return AWSResponse(request.url, response.status_code, cast(Any, response.headers), _Raw(response.content))


class _Raw(io.BytesIO):
    """A body that was read already, as the SDK wants to read it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while block := self.read(1 << 16):
            yield block


def code_of(failure: CallFailure) -> str:
    """The code of the error of AWS behind a failure, empty where there was none."""
    told: Mapping[str, Any] = getattr(failure.__cause__, "response", None) or {}
    return str(told.get("Error", {}).get("Code", ""))


def _failure(error: Any, who: str) -> CallFailure:
    """What an error of AWS means. `error` is a botocore ClientError."""
    told = error.response
    code = str(told.get("Error", {}).get("Code", ""))
    message = " ".join(str(told.get("Error", {}).get("Message", "")).split())[:300] or "no reason given"
    metadata = told.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    hint_s = retry_after_s(metadata.get("HTTPHeaders", {}))
    said = f"({code}): {message}"
    if code in THROTTLED or status == 429 or (status == 503 and hint_s is not None):
        return Refused(f"{who} refused the call {said}", retry_after_s=hint_s)
    if code in THEIRS or status >= 500 or status == 408:
        return Failed(f"{who} failed {said}", retry_after_s=hint_s)
    if code in NO_KEY:
        return Faulty(f"{who} does not accept the credentials ({code})", cure=KEY_CURE)
    if code in NOT_ALLOWED:
        cure = "give their role the permission, and access to the model"
        return Faulty(f"the credentials may not use {who} {said}", cure=cure)
    if code == "ResourceNotFoundException" or status == 404:
        return Faulty(f"{who} is not there {said}", cure="mend model, region or bucket in its release")
    return Faulty(f"{who} does not take the request {said}", cure="see that its release fits the task")
