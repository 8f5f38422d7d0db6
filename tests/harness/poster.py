"""A client that hands messages in while everything around it breaks, as a careful one does."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterable

from tests.harness.errors import HarnessError

_PAUSE_SECONDS = 0.1
_CALL_SECONDS = 30


class Poster:
    """Posts each call again and again until it is acknowledged, on a thread of its own."""

    def __init__(self, port: int, token: str, calls: Iterable[tuple[int, bytes]]) -> None:
        self.acknowledged = 0
        self.answers: Counter[str] = Counter()
        self._failure: BaseException | None = None
        self._headers = {"X-API-Token": token, "Content-Type": "application/json"}
        self._port = port
        self._calls = calls
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Poster":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_CALL_SECONDS)

    def check(self) -> None:
        """Raises when the proxy gave an answer that no client could live with."""
        if self._failure is not None:
            raise HarnessError(f"the client gave up: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            for count, body in self._calls:
                while not self._stopped.is_set() and not self._is_acknowledged(count, body):
                    self._stopped.wait(_PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001 - told to whoever asks
            self._failure = error

    def _is_acknowledged(self, count: int, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_CALL_SECONDS)
        try:
            connection.request("POST", "/commands/add-messages", body, self._headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self.answers["none"] += 1
            return False
        finally:
            connection.close()
        self.answers[str(response.status)] += 1
        if response.status == 503 and response.headers["Retry-After"]:
            return False
        if response.status != 200:
            raise HarnessError(f"add-messages: {response.status} {answer[:300]!r}")
        if rejected := json.loads(answer)["rejected"]:
            raise HarnessError(f"add-messages: {rejected[:3]}")
        self.acknowledged += count
        return True
