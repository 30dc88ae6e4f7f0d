"""Private parts of Kaggle's client, and of ``requests`` below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hbaclib.errors import PlatformError


def strict_client(module: Any) -> Any:
    """Kaggle's client, but an upload that fails is an error, after three attempts.

    Up to 2.2.4 the client leaves the file out of the data set and continues; 2.2.5 fails, with three words.

    Args:
        module: ``kaggle.api.kaggle_api_extended``.

    Overrides ``KaggleApi._upload_file``, which returns None or raises ValueError where it failed, and
    ``KaggleApi.MAX_UPLOAD_RESUME_ATTEMPTS``; seen with kaggle 2.2.
    """

    class Client(module.KaggleApi):
        MAX_UPLOAD_RESUME_ATTEMPTS = 3

        def _upload_file(self, file_name: str, *arguments: Any, **named: Any) -> Any:
            try:
                uploaded = super()._upload_file(file_name, *arguments, **named)
            except ValueError as error:
                if "Upload unsuccessful" not in str(error):
                    raise
                uploaded = None
            if uploaded is None:
                raise PlatformError(f"upload of {file_name} failed; the same command tries again where it stopped")
            return uploaded

    return Client()


def seconds_to_wait(module: Any, response: Any) -> float | None:
    """How long a refusing server asks to wait (its Retry-After: seconds or a date); None where it does not say.

    Args:
        module: ``kaggle.api.kaggle_api_extended``.
        response: of ``requests``.

    Calls ``KaggleApi._get_retry_after_delay``; seen with kaggle 2.2.
    """
    return module.KaggleApi._get_retry_after_delay(response)


@contextmanager
def bounded_requests(requests: Any, seconds: float) -> Iterator[None]:
    """Within the block, a request that names no timeout ends after some seconds of silence.

    Kaggle's client names none and takes none.

    Args:
        requests: the package.
        seconds: longest silence of the server within one request.

    Replaces ``requests.adapters.HTTPAdapter.send``; seen with requests 2.34.
    """
    adapter = requests.adapters.HTTPAdapter
    send = adapter.send

    def bounded(this: Any, request: Any, stream: bool = False, timeout: Any = None, **named: Any) -> Any:
        return send(this, request, stream=stream, timeout=timeout or seconds, **named)

    adapter.send = bounded
    try:
        yield
    finally:
        adapter.send = send
