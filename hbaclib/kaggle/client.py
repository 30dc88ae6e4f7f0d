"""The few calls to Kaggle, made by its own client: bounded in time, repeated where that is safe, without credentials.

The client prints, exits, waits without limit and reports failures in fields of successful answers; here each call ends
with a value or a `PlatformError` of one sentence.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hbaclib.artefacts import atomic_path
from hbaclib.compat.kaggle import bounded_requests, seconds_to_wait, strict_client
from hbaclib.errors import PlatformError
from hbaclib.secrecy import hide, remember

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
Ask = Callable[[], Any]
sleep: Callable[[float], None] = time.sleep
"""How every wait for Kaggle is spent; tests replace it."""


def _modules() -> tuple[Any, Any]:
    """Import the client late: it logs in when it is imported, and prints when it cannot."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return importlib.import_module("kaggle.api.kaggle_api_extended"), importlib.import_module("requests")
    except ImportError as error:
        raise PlatformError(f"{INSTALL} ({error})") from None
    except OSError as error:
        raise PlatformError(f"Kaggle's client cannot use its settings folder ({error})") from None


def _status(error: BaseException | None) -> int | None:
    """The server's answer behind an error, as a number of HTTP; None where there was none."""
    return getattr(getattr(error, "response", None), "status_code", None)


class Kaggle:
    """Kaggle's service for one user, who is found in the environment or the client's own files.

    Raises:
        PlatformError: the client or the credentials are missing.
    """

    def __init__(self) -> None:
        self._module, self._requests = _modules()
        self._api = strict_client(self._module)
        with self._quiet():
            try:
                self._api.authenticate()
            except SystemExit:
                raise PlatformError(CREDENTIALS) from None
            except self._requests.RequestException as error:
                self._remember_secrets()
                raise PlatformError(f"Kaggle cannot be reached to log in: {self._words(error)}") from None
        self._remember_secrets()
        values = self._api.config_values
        self.user = str(values.get("username", ""))

    def _remember_secrets(self) -> None:
        values = self._api.config_values
        remember(*(str(value) for name, value in values.items() if "key" in name or "token" in name))

    def _words(self, error: Exception) -> str:
        status = _status(error)
        return hide((f"HTTP {status}: " if status else "") + (str(error) or type(error).__name__))

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
        sleep(min(LONGEST_WAIT, asked if asked is not None else 2.0**attempt))

    def _retriable(self, error: Exception, *, twice_is_safe: bool) -> bool:
        """Whether to repeat a call: always when refused for its rate, else only where doing it twice does no harm."""
        status = _status(error)
        if status:
            return status == 429 or (twice_is_safe and status >= 500)
        return twice_is_safe and isinstance(error, (self._requests.ConnectionError, self._requests.Timeout))

    def _call(self, what: str, function: Ask, *, twice_is_safe: bool = True, done: Ask | None = None) -> Any:
        """What a function returns, called again where that is safe.

        Args:
            what: what it does, for messages.
            function: calls the client.
            twice_is_safe: whether doing it twice does no harm, though nobody can tell whether it was done.
            done: tells, where that does harm, what came of a call that broke off: None where it was not done.

        Raises:
            PlatformError: it failed.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self._quiet():
                    return function()
            except PlatformError:
                raise
            except (self._requests.RequestException, ValueError, KeyError) as error:
                if attempt + 1 == ATTEMPTS or not self._retriable(error, twice_is_safe=twice_is_safe or bool(done)):
                    raise PlatformError(self._sentence(what, error)) from error
                self._wait(error, attempt)
                if done and (found := done()) is not None:
                    return found

    def _sentence(self, what: str, error: Exception) -> str:
        status = _status(error)
        if status == 401:
            return f"{what}: Kaggle refused the credentials (HTTP 401); make a new token at kaggle.com/settings/api"
        if status == 429:
            return f"{what}: Kaggle still refuses for too many requests (HTTP 429) after {ATTEMPTS} attempts; try later"
        return f"{what}: {self._words(error)}"

    def _find(self, what: str, function: Ask) -> Any:
        """As `_call`; None where the server says that there is no such thing (403 is its answer for that, too)."""
        try:
            return self._call(what, function)
        except PlatformError as error:
            if _status(error.__cause__) in (403, 404):
                return None
            raise

    def _kernels(self, method: str, *arguments: Any) -> Any:
        """Call a method of the client's service for kernels, for what the client itself does not offer."""
        with self._api.build_kaggle_client() as client:
            return getattr(client.kernels.kernels_api_client, method)(*arguments)

    def dataset(self, ref: str) -> tuple[str, int] | None:
        """Status in lower case ("ready", "failed", ...) and newest version of a data set; None where there is none."""
        form = "json(status,current_version_number)"
        text = self._find(f"status of data set {ref}", lambda: self._api.dataset_status(ref, format=form))
        if text is None:
            return None
        found = json.loads(text)
        return str(found["status"]), int(found["current_version_number"] or 0)

    def upload_dataset(self, folder: Path, *, exists: bool, notes: str, public: bool = False) -> None:
        """Create a data set from a folder, or a new version of it. Sub-folders travel as zip files, unpacked there.

        Args:
            folder: with its metadata.
            exists: there is one already; it stays as private or public as it is.
            notes: of the version.
            public: a new one may be read by others.

        Raises:
            PlatformError: a file could not be uploaded or the server refused.
        """

        def send() -> Any:
            if exists:
                return self._api.dataset_create_version(str(folder), notes, quiet=True, dir_mode="zip")
            return self._api.dataset_create_new(str(folder), public=public, quiet=True, dir_mode="zip")

        answer = self._call(f"upload of data set {folder.name}", send, twice_is_safe=False)
        if answer.error or str(answer.status).lower() == "error":
            raise PlatformError(f"upload of data set {folder.name}: {hide(answer.error or 'refused')}")

    def kernel_version(self, ref: str) -> int:
        """Newest version of a kernel, 0 where there is none."""
        request = self._module.ApiGetKernelRequest()
        request.user_name, request.kernel_slug = ref.split("/")
        found = self._find(f"version of kernel {ref}", lambda: self._kernels("get_kernel", request))
        return 0 if found is None else int(found.metadata.current_version_number)

    def push_kernel(self, folder: Path, ref: str) -> int:
        """Save a kernel and start it; its version.

        A connection that breaks leaves open whether the server saved it; then its version number tells, so that it is
        not started twice.

        Raises:
            PlatformError: the server refused, or ignored one of the sources.
        """
        before = self.kernel_version(ref)
        what = f"push of kernel {ref}"

        def saved() -> int | None:
            now = self.kernel_version(ref)
            return now if now > before else None

        answer = self._call(what, lambda: self._api.kernels_push(str(folder)), twice_is_safe=False, done=saved)
        if isinstance(answer, int):
            return answer
        if answer.error:
            raise PlatformError(f"{what}: {hide(answer.error)}")
        kinds = ("dataset", "competition", "kernel", "model")
        ignored = [source for kind in kinds for source in getattr(answer, f"invalid_{kind}_sources") or []]
        if ignored:
            raise PlatformError(
                f"{what}: Kaggle does not know or may not show you its source {', '.join(ignored)}; "
                "for a competition accept its rules on its page first"
            )
        return int(answer.version_number or before + 1)

    def kernel_status(self, ref: str) -> tuple[str, str]:
        """Status of a kernel's newest session as the service names it ("RUNNING", "COMPLETE", ...), and its message."""
        answer = self._call(f"status of kernel {ref}", lambda: self._api.kernels_status(ref))
        return answer.status.name, hide(answer.failure_message)

    def kernel_log(self, ref: str) -> str:
        """What a kernel printed; the service keeps it as a JSON list of pieces."""
        text = self._call(f"log of kernel {ref}", lambda: self._api.kernels_logs(ref))
        try:
            pieces = json.loads(text)
            return hide("".join(piece.get("data", "") for piece in pieces))
        except (ValueError, AttributeError):
            return hide(text)

    def gpu_hours_left(self) -> float | None:
        """GPU hours left this week, None where the service does not say."""
        try:
            quota = self._call("GPU quota", lambda: self._kernels("get_accelerator_quota_statistics")).gpu_quota
            used, total = quota.time_used, quota.total_time_allowed
            return (total - (used or 0 * total)).total_seconds() / 3600 if total else None
        except (PlatformError, AttributeError, TypeError):
            return None

    def output_files(self, ref: str) -> list[tuple[str, str]]:
        """Names and addresses of what a kernel's newest session wrote."""
        request = self._module.ApiListKernelSessionOutputRequest()
        request.user_name, request.kernel_slug = ref.split("/")
        request.page_size = 100
        found: list[tuple[str, str]] = []
        while True:
            answer = self._call(f"output of kernel {ref}", lambda: self._kernels("list_kernel_session_output", request))
            found += [(item.file_name, item.url) for item in answer.files or []]
            if answer.next_page_token in (None, "", request.page_token):
                return found
            request.page_token = answer.next_page_token

    def download(self, address: str, path: Path, *, limit: int) -> None:
        """Download one file, in pieces (the client would hold it whole in memory); it appears when it is whole.

        Args:
            address: of the file.
            path: where it goes.
            limit: bytes that it may have.

        Raises:
            PlatformError: it failed, or is larger.
            ArtefactError: the file cannot be written.
        """

        def fetch() -> None:
            with self._requests.get(address, stream=True) as response, open(partial, "wb") as file:
                response.raise_for_status()
                for piece in response.iter_content(1 << 20):
                    file.write(piece)
                    if file.tell() > limit:
                        raise PlatformError(
                            f"download of {path.name}: more than {limit:,} bytes, which no kernel keeps"
                        )

        with atomic_path(path) as partial:
            self._call(f"download of {path.name}", fetch)

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
            raise PlatformError(f"submission to {competition}: {hide(answer.message or 'not accepted')}")
        return int(answer.ref)

    def submission(self, competition: str, number: int) -> tuple[str, str, str, str]:
        """Status, public score, private score and error of a submission."""
        rows = self._call(f"submissions to {competition}", lambda: self._api.competition_submissions(competition))
        for row in rows or []:
            if row.ref == number:
                return row.status.name, row.public_score, row.private_score, hide(row.error_description)
        return "PENDING", "", "", ""
