"""HTTP only: which request the backend answers how. Paths match in any case, with or without a last slash."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from local.org.backend import OrgBackend
from local.org.datacloud import FirstAnswer
from local.org.errors import ApiError, OAuthError, not_found
from local.org.faults import Action
from local.org.identity import USER_ID
from local.org.messages import ConnectionCutError, NoAnswerError, Request, Response

MULTIPART_CHARACTERS = 100_000
"""Bulk API 2.0 guide: a multipart request holds at most 100,000 characters."""

_COUNT_QUERY = re.compile(
    r"\s*SELECT\s+COUNT\(\)\s+FROM\s+(?P<object>\w+)"
    r"(?P<modified>\s+WHERE\s+LastModifiedById\s*=\s*'(?P<user>\w+)'"
    r"\s+AND\s+LastModifiedDate\s*>=\s*(?P<since>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)))?\s*",
    re.IGNORECASE,
)

Match = re.Match[str]
Answer = Callable[[Request, Match], Response]


@dataclass(frozen=True)
class Route:
    """One row of the routing table."""

    method: str
    path: re.Pattern[str]
    kind: str
    answer: Answer
    is_api: bool


class Routes:
    """Answers requests from a backend."""

    def __init__(self, backend: OrgBackend) -> None:
        self._backend = backend
        self._routes = [*self._open_routes(), *self._api_routes()]

    def answer(self, request: Request) -> Response:
        """Answer one request; whatever is wrong with it is an answer too.

        Raises:
            ConnectionCutError: the faults file wants the connection cut.
            NoAnswerError: the faults file wants no answer.
        """
        actions = self._backend.faults.for_request(request.method, request.path)
        self._prepare(request, actions)
        scripted = next((action for action in actions if action.status is not None), None)
        response = self._scripted(scripted) if scripted else self._carry_out(request)
        for action in actions:
            _withhold(action, "after")
            if action.cut_body is not None and response.status == 200:
                response = replace(response, body=response.body[: int(len(response.body) * action.cut_body)])
        return response

    def _prepare(self, request: Request, actions: list[Action]) -> None:
        for action in actions:
            self._backend.requests["faults"] += 1
            if action.delay_seconds is not None:
                time.sleep(self._backend.clock.real_seconds(action.delay_seconds))
            if action.expire_token:
                self._backend.identity.revoke(_token(request))
            if action.change_source is not None:
                self._backend.datacloud.change(action.change_source)
            _withhold(action, "before")

    def _scripted(self, action: Action) -> Response:
        if action.body is not None:
            return Response(action.status or 500, action.body.encode(), "text/html; charset=UTF-8", action.headers)
        error = ApiError(action.status or 500, action.code, action.message)
        return replace(Response.of_api_error(error), headers=action.headers)

    def _carry_out(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        matches = (
            (route, match)
            for route in self._routes
            if route.method == request.method and (match := route.path.fullmatch(path))
        )
        route, match = next(matches, (None, None))
        if route is None or match is None:
            return Response.of_api_error(not_found())
        self._backend.requests[route.kind] += 1
        try:
            if route.is_api:
                self._backend.identity.check(request.headers["Authorization"])
                self._backend.limits.count_request()
            response = route.answer(request, match)
        except OAuthError as error:
            return Response.of_oauth_error(error)
        except ApiError as error:
            response = Response.of_api_error(error)
        if not route.is_api:
            return response
        usage = {"Sforce-Limit-Info": self._backend.limits.usage_header}
        return replace(response, headers={**response.headers, **usage})

    def _open_routes(self) -> list[Route]:
        return [
            _route("POST", "/services/oauth2/token", "token", self._token, is_api=False),
            _route("POST", "/services/oauth2/revoke", "revoke", self._revoke, is_api=False),
            _route("GET", "/services/data", "versions", self._versions, is_api=False),
            _route("GET", "/__org__/statistics", "inspection", self._statistics, is_api=False),
            _route("GET", r"/__org__/target/(?P<name>\w+)", "inspection", self._target, is_api=False),
        ]

    def _api_routes(self) -> list[Route]:
        data = r"/services/data/v(?P<version>\d+\.\d)"
        jobs = f"{data}/jobs/ingest"
        job = rf"{jobs}/(?P<job>\w+)"
        query = rf"{data}/ssot/query-sql"
        return [
            _route("GET", f"{data}/limits", "limits", self._limits),
            _route("GET", f"{data}/query", "query", self._count),
            _route("GET", rf"{data}/sobjects/(?P<name>\w+)/describe", "describe", self._describe),
            _route("POST", jobs, "job_create", self._create),
            _route("GET", jobs, "job_list", self._list),
            _route("PUT", f"{job}/batches", "job_upload", self._upload),
            _route("PATCH", job, "job_state", self._set_state),
            _route("GET", job, "job_get", self._get),
            _route("DELETE", job, "job_delete", self._delete),
            _route("GET", f"{job}/successfulresults", "job_results", self._successful),
            _route("GET", f"{job}/failedresults", "job_results", self._failed),
            _route("GET", f"{job}/unprocessedrecords", "job_results", self._unprocessed),
            _route("POST", query, "query_sql", self._submit),
            _route("GET", rf"{query}/(?P<id>[\w-]+)", "query_sql_status", self._query_status),
            _route("GET", rf"{query}/(?P<id>[\w-]+)/rows", "query_sql_rows", self._rows),
            _route("DELETE", rf"{query}/(?P<id>[\w-]+)", "query_sql_cancel", self._cancel),
        ]

    def _token(self, request: Request, _match: Match) -> Response:
        session = self._backend.identity.log_in(request.form(), request.headers["Authorization"], request.server_url)
        return Response.of_json(session)

    def _revoke(self, request: Request, _match: Match) -> Response:
        self._backend.identity.revoke(request.form().get("token", ""))
        return Response()

    def _versions(self, _request: Request, _match: Match) -> Response:
        versions = [(f"{number}.0", f"/services/data/v{number}.0") for number in range(60, 67)]
        return Response.of_json(
            [{"label": f"API {version}", "url": url, "version": version} for version, url in versions]
        )

    def _statistics(self, _request: Request, _match: Match) -> Response:
        return Response.of_json(self._backend.statistics())

    def _target(self, request: Request, match: Match) -> Response:
        """Records themselves are for clients that have logged in; what tells nothing of them is for everybody."""
        form = request.query.get("as", "rows")
        if form == "count":
            return Response.of_json({"count": len(self._backend.table(match["name"]))})
        if form == "digest":
            return Response.of_json({"digest": self._backend.digest(match["name"])})
        self._backend.identity.check(request.headers["Authorization"])
        return Response.of_json(self._backend.rows(match["name"]))

    def _limits(self, _request: Request, _match: Match) -> Response:
        return Response.of_json(self._backend.limits.describe())

    def _count(self, request: Request, _match: Match) -> Response:
        count = _COUNT_QUERY.fullmatch(request.query.get("q", ""))
        if count is None:
            message = (
                "This org only understands SELECT COUNT() FROM <object> "
                "[WHERE LastModifiedById = '<id>' AND LastModifiedDate >= <dateTime>]"
            )
            raise ApiError(400, "MALFORMED_QUERY", message)
        table = self._backend.table(count["object"])
        total = len(table)
        if count["modified"]:
            since = datetime.fromisoformat(count["since"].upper().replace("Z", "+00:00"))
            since_seconds = (since - self._backend.clock.at(0)).total_seconds()
            total = table.count_modified(since_seconds) if count["user"][:15] == USER_ID[:15] else 0
        return Response.of_json({"totalSize": total, "done": True, "records": []})

    def _describe(self, _request: Request, match: Match) -> Response:
        return Response.of_json(self._backend.table(match["name"]).schema.describe())

    def _create(self, request: Request, match: Match) -> Response:
        if not (request.headers["Content-Type"] or "").startswith("multipart/"):
            return Response.of_json(self._backend.ingest.create(request.json(), match["version"]))
        if len(request.body) > MULTIPART_CHARACTERS:
            message = f"A multipart request holds at most {MULTIPART_CHARACTERS} characters"
            raise ApiError(400, "ClientInputError", message)
        parts = request.parts()
        wanted = replace(request, body=parts.get("job", b"")).json()
        job = self._backend.ingest.create(wanted, match["version"])
        self._backend.ingest.upload(job["id"], parts.get("content", b""))
        return Response.of_json(self._backend.ingest.set_state(job["id"], "UploadComplete"))

    def _list(self, request: Request, match: Match) -> Response:
        jobs, following = self._backend.ingest.list(request.number("queryLocator") or 0)
        next_url = f"/services/data/v{match['version']}/jobs/ingest?queryLocator={following}"
        return Response.of_json(
            {"done": following is None, "records": jobs, "nextRecordsUrl": next_url if following else None}
        )

    def _upload(self, request: Request, match: Match) -> Response:
        self._backend.ingest.upload(match["job"], request.body)
        return Response(201)

    def _set_state(self, request: Request, match: Match) -> Response:
        return Response.of_json(self._backend.ingest.set_state(match["job"], str(request.json().get("state"))))

    def _get(self, _request: Request, match: Match) -> Response:
        return Response.of_json(self._backend.ingest.get(match["job"]))

    def _delete(self, _request: Request, match: Match) -> Response:
        self._backend.ingest.delete(match["job"])
        return Response(204)

    def _successful(self, _request: Request, match: Match) -> Response:
        return Response.of_csv(self._backend.ingest.results(match["job"]).successful())

    def _failed(self, _request: Request, match: Match) -> Response:
        return Response.of_csv(self._backend.ingest.results(match["job"]).failed())

    def _unprocessed(self, _request: Request, match: Match) -> Response:
        return Response.of_csv(self._backend.ingest.results(match["job"]).unprocessed())

    def _submit(self, request: Request, _match: Match) -> Response:
        wanted = request.json()
        row_limit = wanted.get("rowLimit")
        if not (row_limit is None or isinstance(row_limit, int)):
            raise ApiError(400, "INVALID_ARGUMENT", f"rowLimit is {row_limit!r}: a number was expected")
        with self._backend.datacloud.slot():
            first = self._backend.datacloud.submit(
                str(wanted.get("sql", "")),
                wanted.get("sqlParameters") or [],
                row_limit,
            )
        return Response(201, _first_answer(first))

    def _query_status(self, request: Request, match: Match) -> Response:
        wait_seconds = (request.number("waitTimeMs") or 0) / 1000
        with self._backend.datacloud.slot():
            status = self._backend.datacloud.status(match["id"], wait_seconds)
        return Response.of_json({"status": status})

    def _rows(self, request: Request, match: Match) -> Response:
        with self._backend.datacloud.slot():
            page, metadata = self._backend.datacloud.rows(
                match["id"], request.number("offset") or 0, request.number("rowLimit")
            )
        body = b'{"data":' + page.json + b',"returnedRows":' + str(page.row_count).encode()
        if request.query.get("omitSchema", "").lower() != "true":
            body += b',"metadata":' + orjson.dumps(metadata)
        return Response(200, body + b"}")

    def _cancel(self, _request: Request, match: Match) -> Response:
        self._backend.datacloud.cancel(match["id"])
        return Response(204)


def _route(method: str, path: str, kind: str, answer: Answer, *, is_api: bool = True) -> Route:
    return Route(method, re.compile(path, re.IGNORECASE), kind, answer, is_api)


def _withhold(action: Action, moment: str) -> None:
    if action.reset == moment:
        raise ConnectionCutError
    if action.no_answer == moment:
        raise NoAnswerError


def _token(request: Request) -> str:
    return (request.headers["Authorization"] or "").removeprefix("Bearer ")


def _first_answer(first: FirstAnswer) -> bytes:
    rest = orjson.dumps({"metadata": first.metadata, "returnedRows": first.page.row_count, "status": first.status})
    return b'{"data":' + first.page.json + b"," + rest[1:]
