from dataclasses import dataclass
from typing import Any

import requests


@dataclass
class Client:
    """A logged-in HTTP client."""

    url: str
    http: requests.Session

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(method, f"{self.url}/services/data/v66.0{path}", timeout=30, **options)
