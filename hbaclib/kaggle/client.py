"""The few calls to Kaggle, made by its own client: bounded in time, repeated where that is safe, without credentials.

The client prints, exits, waits without limit and reports failures in fields of successful answers; here each call ends
with a value or a `PlatformError` of one sentence.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaclib.compat.kaggle import bounded_requests, seconds_to_wait, strict_client
from hbaclib.errors import PlatformError

INSTALL = "Kaggle's client is not installed: pip install 'hbaclib[kaggle]'"
CREDENTIALS = (
    'no Kaggle credentials found. Open https://www.kaggle.com/settings/api, choose "Generate New Token", and either '
    "set KAGGLE_API_TOKEN to it or save it in ~/.kaggle/access_token; a legacy key works too (KAGGLE_USERNAME and "
    "KAGGLE_KEY, or ~/.kaggle/kaggle.json). The account's phone number must be verified to use GPUs"
)
SECONDS = 120.0
"""Longest silence of the server within one request."""
ATTEMPTS = 6
LONGEST_WAIT = 300.0
"""Longest wait that a server's Retry-After is granted, seconds."""


@dataclass(frozen=True)
class Pushed:
    """A kernel version that the server accepted."""

    version: int
    url: str


def _modules() -> tuple[Any, Any]:
    """Import the client late: it logs in when it is imported, and prints when it cannot."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("kaggle.api.kaggle_api_extended"), importlib.import_module("requests")
    except ImportError as error:
        raise PlatformError(f"{INSTALL} ({error})") from None
    except OSError as error:
        raise PlatformError(f"Kaggle's client cannot use its settings folder ({error})") from None


class Kaggle:
    """Kaggle's service for one user, who is found in the environment or the client's own files.

    Args:
        sleep: waits some seconds; tests replace it.

    Raises:
        PlatformError: the client or the credentials are missing.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._module, self._requests = _modules()
        self._sleep = sleep
        self._secrets: list[str] = []
        self._api = strict_client(self._module)
        with self._quiet():
            try:
                self._api.authenticate()
            except SystemExit:
                raise PlatformError(CREDENTIALS) from None
            except self._requests.RequestException as error:
                raise PlatformError(f"Kaggle cannot be reached to log in: {self._words(error)}") from None
        values = self._api.config_values
        self.user = str(values.get("username", ""))
        self._secrets = [str(values[name]) for name in ("key", "token") if values.get(name)]
        self._secrets += [os.environ[name] for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN") if os.environ.get(name)]
        self._secrets += [base64.b64encode(f"{self.user}:{key}".encode()).decode() for key in list(self._secrets)]

    def clean(self, text: str) -> str:
        """The text without any credential in it."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _words(self, error: Exception) -> str:
        response = getattr(error, "response", None)
        status = f"HTTP {response.status_code}: " if response is not None else ""
        return self.clean(f"{status}{str(error) or type(error).__name__}")

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[io.StringIO]:
        """Keep what the client prints (it may hold request headers), and bound every request, which it does not."""
        said = io.StringIO()
        with (
            bounded_requests(self._requests, SECONDS),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            yield said

    def _wait(self, error: Exception | None, attempt: int) -> None:
        response = getattr(error, "response", None)
        asked = seconds_to_wait(self._module, response) if response is not None else None
        self._sleep(min(LONGEST_WAIT, asked if asked is not None else 2.0**attempt))

    def _retriable(self, error: Exception, *, twice_is_safe: bool) -> bool:
        """Whether to repeat a call: always when refused for its rate, else only where doing it twice does no harm."""
        response = getattr(error, "response", None)
        if response is not None:
            return response.status_code == 429 or (twice_is_safe and response.status_code >= 500)
        return twice_is_safe and isinstance(error, (self._requests.ConnectionError, self._requests.Timeout))

    def _call(self, what: str, function: Callable[[], Any], *, twice_is_safe: bool = True) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                with self._quiet():
                    return function()
            except PlatformError:
                raise
            except (self._requests.RequestException, ValueError, KeyError) as error:
                if attempt + 1 < ATTEMPTS and self._retriable(error, twice_is_safe=twice_is_safe):
                    self._wait(error, attempt)
                    continue
                raise PlatformError(self._sentence(what, error)) from error

    def _sentence(self, what: str, error: Exception) -> str:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 401:
            return f"{what}: Kaggle refused the credentials (HTTP 401); make a new token at kaggle.com/settings/api"
        if status == 429:
            return f"{what}: Kaggle still refuses for too many requests (HTTP 429) after {ATTEMPTS} attempts; try later"
        return f"{what}: {self._words(error)}"

    @staticmethod
    def _missing(error: PlatformError) -> bool:
        """Whether the server said that there is no such thing (403 is its answer for what does not exist)."""
        response = getattr(error.__cause__, "response", None)
        return response is not None and response.status_code in (403, 404)

    def dataset(self, ref: str) -> tuple[str, int] | None:
        """Status in lower case ("ready", "failed", ...) and newest version of a data set; None where there is none."""
        form = "json(status,current_version_number)"
        try:
            found = json.loads(
                self._call(f"status of data set {ref}", lambda: self._api.dataset_status(ref, format=form))
            )
        except PlatformError as error:
            if self._missing(error):
                return None
            raise
        return str(found["status"]), int(found["current_version_number"] or 0)

    def upload_dataset(self, folder: Path, *, exists: bool, notes: str) -> None:
        """Create a data set from a folder, or a new version of it. Sub-folders travel as zip files, unpacked there.

        Raises:
            PlatformError: a file could not be uploaded or the server refused.
        """

        def send() -> Any:
            if exists:
                return self._api.dataset_create_version(str(folder), notes, quiet=True, dir_mode="zip")
            return self._api.dataset_create_new(str(folder), quiet=True, dir_mode="zip")

        answer = self._call(f"upload of data set {folder.name}", send, twice_is_safe=False)
        if answer.error or str(answer.status).lower() == "error":
            raise PlatformError(f"upload of data set {folder.name}: {self.clean(answer.error or 'refused')}")

    def kernel_version(self, ref: str) -> int:
        """Newest version of a kernel, 0 where there is none."""
        owner, slug = ref.split("/")

        def ask() -> Any:
            request = self._module.ApiGetKernelRequest()
            request.user_name, request.kernel_slug = owner, slug
            with self._api.build_kaggle_client() as client:
                return client.kernels.kernels_api_client.get_kernel(request)

        try:
            return int(self._call(f"version of kernel {ref}", ask).metadata.current_version_number)
        except PlatformError as error:
            if self._missing(error):
                return 0
            raise

    def push_kernel(self, folder: Path, ref: str) -> Pushed:
        """Save a kernel and start it.

        A connection that breaks leaves open whether the server saved it; then its version number tells, so that it is
        not started twice.

        Raises:
            PlatformError: the server refused, or ignored one of the sources.
        """
        before = self.kernel_version(ref)
        what = f"push of kernel {ref}"
        for attempt in range(ATTEMPTS):
            try:
                answer = self._call(what, lambda: self._api.kernels_push(str(folder)), twice_is_safe=False)
                break
            except PlatformError as error:
                cause = error.__cause__
                if not isinstance(cause, Exception) or not self._retriable(cause, twice_is_safe=True):
                    raise
                if attempt + 1 == ATTEMPTS:
                    raise
                self._wait(cause, attempt)
                now = self.kernel_version(ref)
                if now > before:
                    return Pushed(now, f"https://www.kaggle.com/code/{ref}")
        if answer.error:
            raise PlatformError(f"{what}: {self.clean(answer.error)}")
        kinds = ("dataset", "competition", "kernel", "model")
        ignored = [source for kind in kinds for source in getattr(answer, f"invalid_{kind}_sources") or []]
        if ignored:
            raise PlatformError(
                f"{what}: Kaggle does not know or may not show you its source {', '.join(ignored)}; "
                "for a competition accept its rules on its page first"
            )
        return Pushed(int(answer.version_number or before + 1), str(answer.url))

    def kernel_status(self, ref: str) -> tuple[str, str]:
        """Status of a kernel's newest session as the service names it ("RUNNING", "COMPLETE", ...), and its message."""
        answer = self._call(f"status of kernel {ref}", lambda: self._api.kernels_status(ref))
        return answer.status.name, self.clean(answer.failure_message)

    def kernel_log(self, ref: str) -> str:
        """What a kernel printed; the service keeps it as a JSON list of pieces."""
        text = self._call(f"log of kernel {ref}", lambda: self._api.kernels_logs(ref))
        try:
            pieces = json.loads(text)
            return self.clean("".join(piece.get("data", "") for piece in pieces))
        except (ValueError, AttributeError):
            return self.clean(text)

    def gpu_hours_left(self) -> float | None:
        """GPU hours left this week, None where the service does not say."""

        def ask() -> Any:
            with self._api.build_kaggle_client() as client:
                return client.kernels.kernels_api_client.get_accelerator_quota_statistics()

        try:
            quota = self._call("GPU quota", ask).gpu_quota
            used, total = quota.time_used, quota.total_time_allowed
            return (total - (used or 0 * total)).total_seconds() / 3600 if total else None
        except (PlatformError, AttributeError, TypeError):
            return None

    def output_files(self, ref: str) -> list[tuple[str, str]]:
        """Names and addresses of what a kernel's newest session wrote."""
        owner, slug = ref.split("/")
        found: list[tuple[str, str]] = []
        token = ""
        while True:
            request = self._module.ApiListKernelSessionOutputRequest()
            request.user_name, request.kernel_slug, request.page_size = owner, slug, 100
            if token:
                request.page_token = token

            def ask(request: Any = request) -> Any:
                with self._api.build_kaggle_client() as client:
                    return client.kernels.kernels_api_client.list_kernel_session_output(request)

            answer = self._call(f"output of kernel {ref}", ask)
            found += [(item.file_name, item.url) for item in answer.files or []]
            if not answer.next_page_token or answer.next_page_token == token:
                return found
            token = answer.next_page_token

    def download(self, address: str, path: Path) -> None:
        """Download one file, in pieces (the client would hold it whole in memory); it appears when it is whole."""
        partial = path.with_name(f".{path.name}.partial")

        def fetch() -> None:
            with self._requests.get(address, stream=True) as response, open(partial, "wb") as file:
                response.raise_for_status()
                for piece in response.iter_content(1 << 20):
                    file.write(piece)

        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._call(f"download of {path.name}", fetch)
            os.replace(partial, path)
        except OSError as error:
            raise PlatformError(f"{path}: cannot be written ({error.strerror})") from error
        finally:
            partial.unlink(missing_ok=True)

    def submit(self, competition: str, ref: str, version: int, message: str) -> int:
        """Hand a kernel version in to its code competition; returns the submission's number.

        Raises:
            PlatformError: the competition refused it.
        """
        answer = self._call(
            f"submission to {competition}",
            lambda: self._api.competition_submit_code("submission.csv", message, competition, ref, version, quiet=True),
            twice_is_safe=False,
        )
        if not answer.ref:
            raise PlatformError(f"submission to {competition}: {self.clean(answer.message or 'not accepted')}")
        return int(answer.ref)

    def submission(self, competition: str, number: int) -> tuple[str, str, str, str]:
        """Status, public score, private score and error of a submission."""
        rows = self._call(f"submissions to {competition}", lambda: self._api.competition_submissions(competition))
        for row in rows or []:
            if row.ref == number:
                return row.status.name, row.public_score, row.private_score, self.clean(row.error_description)
        return "PENDING", "", "", ""
