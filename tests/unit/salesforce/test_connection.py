from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from massive_upload.errors import (
    CredentialsRejected,
    RequestQuotaExhausted,
    RequestRefused,
    SalesforceBusy,
    SalesforceUnavailable,
    SessionExpired,
)
from massive_upload.salesforce.api_usage import ApiUsage
from massive_upload.salesforce.connection import MAX_TOKEN_AGE_SECONDS, Connection
from massive_upload.salesforce.credentials import ClientSecret, Credentials, PrivateKey
from massive_upload.salesforce.transport import Response
from tests.unit.salesforce.scripted_org import (
    CREDENTIALS,
    INSTANCE_URL,
    LOGIN_URL,
    ORG_ID,
    ScriptedOrg,
    connect,
    error_response,
    json_response,
    login_response,
)

EXPIRED = error_response(401, "INVALID_SESSION_ID", "Session expired or invalid")
NOW = 1_760_000_000


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def form(body: bytes | None) -> dict[str, str]:
    assert body is not None
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


def test_client_credentials_are_sent_as_a_form():
    org = ScriptedOrg(answers=[json_response({})])
    connect(org).request("GET", "/limits")
    assert org.logins[0].url == f"{LOGIN_URL}/services/oauth2/token"
    assert form(org.logins[0].body) == {
        "grant_type": "client_credentials",
        "client_id": "the-client",
        "client_secret": "the-secret",
    }


def test_a_jwt_is_signed_by_the_key_for_the_login_host_and_valid_for_minutes(key):
    org = ScriptedOrg(answers=[json_response({})])
    credentials = PrivateKey(
        login_url=f"{LOGIN_URL}/prefix", client_id="the-client", username="a@b.example", private_key=pem(key)
    )
    connect(org, credentials, now=NOW).request("GET", "/limits")
    sent = form(org.logins[0].body)
    assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        sent["assertion"],
        key.public_key(),
        algorithms=["RS256"],
        audience=LOGIN_URL,
        options={"verify_exp": False},  # the test's clock stands still
    )
    assert claims["iss"] == "the-client"
    assert claims["sub"] == "a@b.example"
    assert 0 < claims["exp"] - NOW <= 300


@pytest.mark.parametrize(
    "private_key", ["no key at all", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_an_unreadable_private_key_is_rejected_before_anything_is_sent(private_key):
    org = ScriptedOrg()
    credentials = PrivateKey(login_url=LOGIN_URL, client_id="c", username="u", private_key=private_key)
    with pytest.raises(CredentialsRejected, match="private_key") as caught:
        connect(org, credentials).request("GET", "/limits")
    assert private_key not in str(caught.value)
    assert org.logins == []


def test_requests_go_to_the_instance_with_the_token():
    org = ScriptedOrg(answers=[json_response({})])
    connection = connect(org)
    connection.request("GET", "/limits", params={"a": "b c"})
    assert org.last_call.url == f"{INSTANCE_URL}/services/data/v66.0/limits?a=b+c"
    assert org.last_call.headers["Authorization"] == "Bearer token-1"
    assert connection.org_id == ORG_ID


def test_one_login_serves_many_requests_and_all_of_them_are_counted():
    org = ScriptedOrg(answers=[json_response({})])
    connection = connect(org)
    for _ in range(3):
        connection.request("GET", "/limits")
    assert len(org.logins) == 1
    assert connection.requests_made == 4


def test_a_request_without_an_answer_is_counted():
    org = ScriptedOrg(answers=[SalesforceUnavailable("broken")])
    connection = connect(org)
    with pytest.raises(SalesforceUnavailable):
        connection.request("GET", "/limits")
    assert connection.requests_made == 2


@pytest.mark.parametrize(
    "refusal",
    [EXPIRED, Response(status=401), error_response(403, "InvalidSessionId"), error_response(404, "URL_NOT_RESET")],
)
def test_a_refused_token_is_renewed_once_and_the_request_sent_again(refusal):
    org = ScriptedOrg(answers=[refusal, json_response({"ok": True})])
    connection = connect(org)
    response = connection.request("PUT", "/jobs/ingest/1/batches", body=b"a,b\n")
    assert response.body == b'{"ok":true}'
    assert [call.headers["Authorization"] for call in org.calls] == ["Bearer token-1", "Bearer token-2"]
    assert [call.body for call in org.calls] == [b"a,b\n", b"a,b\n"]
    assert connection.requests_made == 4


def test_a_token_refused_twice_ends_in_session_expired_and_the_next_request_logs_in_anew():
    org = ScriptedOrg(answers=[EXPIRED, EXPIRED, json_response({})])
    connection = connect(org)
    with pytest.raises(SessionExpired, match="401 INVALID_SESSION_ID"):
        connection.request("GET", "/limits", expect=range(400, 500))
    connection.request("GET", "/limits")
    assert org.last_call.headers["Authorization"] == "Bearer token-3"


def test_a_token_is_renewed_before_it_is_two_hours_old():
    now = [float(NOW)]
    org = ScriptedOrg(answers=[json_response({})])
    connection = Connection(CREDENTIALS, transport=org, clock=lambda: now[0])
    connection.request("GET", "/limits")
    now[0] += MAX_TOKEN_AGE_SECONDS
    connection.request("GET", "/limits")
    assert len(org.logins) == 1
    now[0] += 1
    connection.request("GET", "/limits")
    assert len(org.logins) == 2
    assert MAX_TOKEN_AGE_SECONDS < 2 * 60 * 60


@pytest.mark.parametrize(
    ("instance_url", "used"),
    [
        ("https://other.my.salesforce.com/", "https://other.my.salesforce.com"),
        ("other.my.salesforce.com", "https://other.my.salesforce.com"),
        (None, LOGIN_URL),
    ],
)
def test_the_instance_url_is_taken_with_or_without_scheme_or_from_the_login(instance_url, used):
    login = {"access_token": "t", "instance_url": instance_url}
    org = ScriptedOrg(login=lambda _: json_response(login), answers=[json_response({})])
    connect(org).request("GET", "/limits")
    assert org.last_call.url == f"{used}/services/data/v66.0/limits"


@pytest.mark.parametrize("identity", [None, "", "https://example.com/identity", "https://example.com/id"])
def test_without_an_identity_url_the_host_stands_for_the_org(identity):
    org = ScriptedOrg(
        login=lambda _: json_response({"access_token": "t", "instance_url": INSTANCE_URL, "id": identity})
    )
    assert connect(org).org_id == "instance.my.salesforce.com"


@pytest.mark.parametrize(
    "body", [{"instance_url": INSTANCE_URL}, {"access_token": "t", "instance_url": "http://example.com"}]
)
def test_a_login_without_a_token_or_to_an_open_address_is_rejected(body):
    org = ScriptedOrg(login=lambda _: json_response(body))
    with pytest.raises(CredentialsRejected):
        connect(org).request("GET", "/limits")
    assert org.calls == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_grant", "error_description": "hidden"}, CredentialsRejected),
        (400, {"error": "invalid_client_id", "error_description": "hidden"}, CredentialsRejected),
        (401, {"error": "invalid_client", "error_description": "hidden"}, CredentialsRejected),
        (400, {"error": "unsupported_grant_type"}, CredentialsRejected),
        (400, {"error": "invalid_scope"}, CredentialsRejected),
        (400, {"error": "inactive_user"}, CredentialsRejected),
        (403, {"error": "no_such_thing"}, CredentialsRejected),
        (404, {"error": "not_found"}, CredentialsRejected),
        (400, {"error": "unknown_error", "error_description": "retry your request"}, SalesforceUnavailable),
        (500, {"error": "server_error"}, SalesforceUnavailable),
        (503, {}, SalesforceUnavailable),
        (429, {}, SalesforceBusy),
        (400, {"error": "login_rate_exceeded", "error_description": "hidden"}, SalesforceBusy),
        (403, {"error": "rate_limit_exceeded"}, SalesforceBusy),
        (400, {"error": "invalid_grant", "error_description": "Login Rate Exceeded, hidden"}, SalesforceBusy),
        (403, [{"errorCode": "LOGIN_RATE_EXCEEDED", "message": "hidden"}], SalesforceBusy),
        (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit"}], RequestQuotaExhausted),
    ],
)
def test_a_refused_login_names_its_code_and_keeps_the_text_back(status, body, error):
    org = ScriptedOrg(login=lambda _: json_response(body, status=status))
    with pytest.raises(error, match=f"/services/oauth2/token was answered with {status}") as caught:
        connect(org).request("GET", "/limits")
    assert type(caught.value) is error
    assert "hidden" not in str(caught.value)
    assert caught.value.next_step
    if isinstance(body, dict) and "error" in body:
        assert caught.value.code == body["error"]


RENEWED = ClientSecret(login_url=LOGIN_URL, client_id="the-client", client_secret="renewed")
OF_ANOTHER_ORG = ClientSecret(login_url="https://other.my.salesforce.com", client_id="c", client_secret="renewed")


def only_with(client_secret: str) -> ScriptedOrg:
    """An org that has withdrawn every other client secret."""

    def login(number: int) -> Response:
        is_right = form(org.logins[-1].body)["client_secret"] == client_secret
        return login_response(f"token-{number}") if is_right else json_response({"error": "invalid_client"}, status=401)

    org = ScriptedOrg(answers=[json_response({})], login=login)
    return org


def test_a_login_that_is_refused_is_tried_once_more_with_credentials_that_were_renewed_meanwhile():
    org = only_with("renewed")
    connection = Connection(CREDENTIALS, transport=org, clock=lambda: NOW, latest_credentials=lambda: RENEWED)
    connection.request("GET", "/limits")
    assert org.last_call.headers["Authorization"] == "Bearer token-2"
    org.answers = [EXPIRED, json_response({})]
    org.calls.clear()
    connection.request("GET", "/limits")
    assert len(org.logins) == 3, "the renewed ones are kept"


@pytest.mark.parametrize(
    ("right", "latest", "logins"), [("x", CREDENTIALS, 1), ("x", RENEWED, 2), ("renewed", OF_ANOTHER_ORG, 1)]
)
def test_a_login_that_stays_refused_is_rejected_and_no_other_org_is_logged_in_to(right, latest, logins):
    org = only_with(right)
    connection = Connection(CREDENTIALS, transport=org, clock=lambda: NOW, latest_credentials=lambda: latest)
    with pytest.raises(CredentialsRejected, match="invalid_client") as caught:
        connection.request("GET", "/limits")
    assert len(org.logins) == logins
    assert not {"the-secret", "renewed"} & set(str(caught.value).split())


def test_credentials_are_read_anew_only_where_the_login_is_refused():
    def latest() -> Credentials:
        raise AssertionError("read")

    org = ScriptedOrg(answers=[EXPIRED, json_response({})], login=lambda number: login_response(f"token-{number}"))
    Connection(CREDENTIALS, transport=org, clock=lambda: NOW, latest_credentials=latest).request("GET", "/limits")
    org.login = lambda _: json_response({"error": "server_error"}, status=500)
    with pytest.raises(SalesforceUnavailable):
        Connection(CREDENTIALS, transport=org, clock=lambda: NOW, latest_credentials=latest).request("GET", "/limits")


def test_a_truncated_login_is_passing():
    org = ScriptedOrg(login=lambda _: Response(status=200, body=b'{"access_token": "abc'))
    with pytest.raises(SalesforceUnavailable, match="no complete JSON") as caught:
        connect(org).request("GET", "/limits")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=25/5000", ApiUsage(25, 5000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample)", ApiUsage(25, 5000)),
        ("per-app-api-usage=17/250(appName=sample); api-usage=25/5000", ApiUsage(25, 5000)),
        ("API-Usage = 1 / 2", ApiUsage(1, 2)),
        ("per-app-api-usage=17/250(appName=sample)", None),
        ("unlimited", None),
        ("", None),
    ],
)
def test_the_limit_header_is_read_in_its_forms(header, usage):
    org = ScriptedOrg(answers=[json_response({}, headers={"sforce-limit-info": header})])
    connection = connect(org)
    connection.request("GET", "/limits")
    assert connection.api_usage == usage


def test_an_answer_without_the_limit_header_leaves_what_was_known_even_if_it_is_an_error():
    org = ScriptedOrg(
        answers=[
            json_response([], status=400, headers={"Sforce-Limit-Info": "api-usage=9/10"}),
            json_response({}),
        ]
    )
    connection = connect(org)
    with pytest.raises(RequestRefused):
        connection.request("GET", "/limits")
    connection.request("GET", "/limits")
    assert connection.api_usage == ApiUsage(9, 10)


def test_an_expected_status_is_handed_back():
    org = ScriptedOrg(answers=[Response(status=404)])
    assert connect(org).request("GET", "/limits", expect=(404,)).status == 404


def test_tokens_stay_out_of_representations():
    org = ScriptedOrg(answers=[json_response({})], login=lambda _: login_response("s3cr3t"))
    connection = connect(org)
    connection.request("GET", "/limits")
    assert "s3cr3t" not in repr(vars(connection)) + repr(org.last_call)
