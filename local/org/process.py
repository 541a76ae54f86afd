"""The simulated org in a process of its own, so that it shares no interpreter with the loader."""

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import requests

from local.org.credentials import CLIENT_ID
from local.org.settings import OrgSettings

_ROOT = Path(__file__).parents[2]


class OrgProcess:
    """Serves one org from a child process, which ends with its parent.

    Args:
        settings: how the org behaves, and its port.
    """

    def __init__(self, settings: OrgSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`.

        Raises:
            RuntimeError: the org is not started.
        """
        if self._child is None:
            raise RuntimeError("The simulated org is not running: start it first.")
        return self._url

    def start(self) -> None:
        """Start the process and wait until the org answers.

        Raises:
            RuntimeError: it did not start; what was wrong is on the standard error output.
        """
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        child = subprocess.Popen(
            [sys.executable, "-m", "local.org"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C in the terminal is for the parent, which then ends the org in order
        )
        self._child = child
        stdin, stdout = _pipes(child)
        pickle.dump(self._settings, stdin)
        stdin.flush()
        self._url = stdout.readline().decode().strip()
        if not self._url:
            self.stop()
            raise RuntimeError("The simulated org ended while it started: see its error above.")

    def stop(self) -> None:
        """End the process; all state is lost."""
        if self._child is None:
            return
        stdin, stdout = _pipes(self._child)
        stdin.close()
        self._child.wait()
        stdout.close()
        self._child = None

    def statistics(self) -> dict[str, Any]:
        """What happened so far; see `OrgBackend.statistics`."""
        found: dict[str, Any] = self._get("statistics")
        return found

    def rows(self, object_name: str) -> list[dict[str, Any]]:
        """Every record of an object; see `OrgBackend.rows`."""
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": self._settings.client_secret,
        }
        token = self._send("POST", "/services/oauth2/token", data=form)["access_token"]
        found: list[dict[str, Any]] = self._get(f"target/{object_name}", {"Authorization": f"Bearer {token}"})
        return found

    def count(self, object_name: str) -> int:
        """How many records an object has."""
        return int(self._get(f"target/{object_name}?as=count")["count"])

    def digest(self, object_name: str) -> str:
        """The records' content as one text; see `OrgBackend.digest`."""
        return str(self._get(f"target/{object_name}?as=digest")["digest"])

    def _get(self, what: str, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - what JSON holds
        return self._send("GET", f"/__org__/{what}", headers=headers)

    def _send(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - what requests takes, and JSON holds
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a login of ~/.netrc
            answer = session.request(method, f"{self.url}{path}", timeout=60, **options)
        answer.raise_for_status()
        return answer.json()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("The process of the simulated org has no pipes.")
    return child.stdin, child.stdout
