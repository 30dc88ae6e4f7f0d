"""A server on loopback that answers Kaggle's client and records what it was sent.

It plays the service's part in the protocol, not ours: sessions pass through states, data sets become ready, uploads
arrive. Tests set what shall go wrong in `faults`: a list per request name, used up one by one.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What to answer in place of the usual.

    Attributes:
        status: HTTP status.
        body: JSON body; None keeps the usual one.
        headers: further headers.
        drop: close the connection without an answer.
        after: do what was asked first (so that a dropped answer leaves the work done).
        delay: seconds to wait before the answer.
    """

    status: int = 200
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    after: bool = False
    delay: float = 0.0


class Service:
    """State of the service and everything it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.authorizations: list[str] = []
        self.faults: dict[str, list[Reply]] = defaultdict(list)
        self.versions: dict[str, int] = {}
        self.datasets: dict[str, int] = {}
        self.dataset_states: list[str] = []
        self.sessions: dict[str, list[tuple[str, int]]] = {}
        self.shown: dict[str, int] = {}
        self.plans: dict[str, list[str]] = {}
        self.logs: dict[str, str] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.uploads: list[bytes] = []
        self.submissions: list[list[dict[str, Any]]] = []
        self.quota: dict[str, Any] | None = None
        self.stop = threading.Event()
        self.url = ""

    def sent(self, name: str) -> list[dict[str, Any]]:
        """Bodies of the requests of one name."""
        return [body for request, body in self.requests if request == name]

    def _save_kernel(self, body: dict[str, Any]) -> dict[str, Any]:
        ref = body["slug"]
        stale = self.versions.get(ref, 0)
        self.versions[ref] = stale + 1
        plan = self.plans.get(ref, ["QUEUED", "RUNNING", "COMPLETE"])
        self.shown.pop(ref, None)
        # In "stale" steps the service still tells of the version before.
        self.sessions[ref] = [
            (step.removeprefix("stale "), stale if step.startswith("stale ") else stale + 1) for step in plan
        ]
        return {"ref": ref, "url": f"https://www.kaggle.com/code/{ref}", "versionNumber": stale + 1}

    def _look(self, body: dict[str, Any]) -> dict[str, Any]:
        """One look at a session: it takes a step, up to its last."""
        ref = f"{body['userName']}/{body['kernelSlug']}"
        steps = self.sessions.get(ref) or [("COMPLETE", self.versions.get(ref, 0))]
        status, self.shown[ref] = steps.pop(0) if len(steps) > 1 else steps[0]
        return {"status": status, **({"failureMessage": "it broke"} if status == "ERROR" else {})}

    def answer(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of the usual answer."""
        missing = 404, {"code": 404, "message": "not found"}
        if name == "SaveKernel":
            return 200, self._save_kernel(body)
        if name == "GetKernelSessionStatus":
            return 200, self._look(body)
        if name == "GetKernel":
            ref = f"{body['userName']}/{body['kernelSlug']}"
            if ref not in self.versions:
                return missing
            version = self.shown.get(ref, self.versions[ref])
            return 200, {"metadata": {"ref": ref, "currentVersionNumber": version}, "blob": {}}
        if name == "ListKernelSessionOutput":
            ref = f"{body['userName']}/{body['kernelSlug']}"
            names = sorted(self.files.get(ref, {}))
            first = int(body.get("pageToken") or 0)
            page = names[first : first + 2]
            rest = {"nextPageToken": str(first + 2)} if first + 2 < len(names) else {}
            listed = [{"fileName": file, "url": f"{self.url}/file/{ref}/{file}"} for file in page]
            return 200, {"files": listed, "log": self.logs.get(ref, ""), **rest}
        if name == "StartBlobUpload":
            return 200, {"token": f"token-{len(self.requests)}", "createUrl": f"{self.url}/upload/{body['name']}"}
        if name in ("CreateDataset", "CreateDatasetVersion"):
            owner, slug = body.get("ownerSlug"), body.get("slug") or body.get("datasetSlug")
            self.datasets[f"{owner}/{slug}"] = self.datasets.get(f"{owner}/{slug}", 0) + 1
            return 200, {"ref": f"/{owner}/{slug}", "url": "", "status": "ok", "error": ""}
        if name in ("GetDatasetStatus", "GetDataset"):
            ref = f"{body['ownerSlug']}/{body['datasetSlug']}"
            if ref not in self.datasets:
                return 403, {"code": 403, "message": "Permission 'datasets.get' was denied"}
            if name == "GetDataset":
                return 200, {"id": 1, "currentVersionNumber": self.datasets[ref]}
            return 200, {"status": self.dataset_states.pop(0) if self.dataset_states else "READY"}
        if name == "GetAcceleratorQuotaStatistics":
            return (200, {"gpuQuota": self.quota}) if self.quota else missing
        if name == "CreateCodeSubmission":
            return 200, {"message": "Successfully submitted", "ref": 77}
        if name == "ListSubmissions":
            rows = self.submissions.pop(0) if len(self.submissions) > 1 else self.submissions[0]
            return 200, {"submissions": rows}
        return 501, {"code": 501, "message": f"the recording server does not know {name}"}


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, status: int, data: bytes, kind: str = "application/json", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _fault(self, name: str) -> Reply:
            fault = service.faults[name].pop(0) if service.faults[name] else Reply()
            if fault.delay:
                service.stop.wait(fault.delay)
            return fault

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.close()

        def do_POST(self) -> None:
            name = self.path.rpartition("/")[2]
            body = json.loads(self._body() or b"{}")
            service.requests.append((name, body))
            service.authorizations.append(self.headers.get("Authorization") or "")
            fault = self._fault(name)
            usual: tuple[int, dict[str, Any]] = (200, {})
            if fault.body is None and fault.status == 200 and (not fault.drop or fault.after):
                usual = service.answer(name, body)
            if fault.drop:
                return self._drop()
            status, content = (fault.status, fault.body or {}) if fault.body or fault.status != 200 else usual
            self._send(status, json.dumps(content).encode(), **fault.headers)

        def do_PUT(self) -> None:
            fault = self._fault("PUT")
            data = self._body()
            if fault.drop:
                return self._drop()
            if fault.status == 200:
                service.uploads.append(data)
            self._send(fault.status, b"{}")

        def do_GET(self) -> None:
            fault = self._fault("GET")
            owner, slug, file = self.path.removeprefix("/file/").split("/", 2)
            data = service.files.get(f"{owner}/{slug}", {}).get(file)
            if fault.drop:
                return self._drop()
            if data is None or fault.status != 200:
                return self._send(404 if data is None else fault.status, b"no such file", "text/plain")
            self._send(200, data, "application/octet-stream")

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the tests."""


@contextlib.contextmanager
def serve() -> Iterator[Service]:
    """Run the service on a free port of loopback."""
    service = Service()
    server = _Server(("127.0.0.1", 0), _handler(service))
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.stop.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
