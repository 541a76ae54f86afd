import base64
import time

import jwt
import pytest

from local.org.clock import ManualClock
from local.org.credentials import CLIENT_ID, CLIENT_SECRET, USERNAME, new_key_pair
from local.org.errors import ApiError, OAuthError
from local.org.identity import Identity

URL = "http://127.0.0.1:1"
KEYS = new_key_pair()
CREDENTIALS = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def identity(clock):
    return Identity(clock, public_key_pem=KEYS.public_pem, session_seconds=7200)


def assertion(private_pem: str = KEYS.private_pem, **claims: object) -> dict[str, str]:
    now = int(time.time())
    known = {
        "iss": CLIENT_ID,
        "sub": USERNAME,
        "aud": "https://login.salesforce.com",
        "exp": now + 86_400,
    }  # parameters are made long before they are used
    return {
        "grant_type": JWT_BEARER,
        "assertion": jwt.encode({**known, **claims}, private_pem, algorithm="RS256"),
    }


def test_client_credentials_answer_strings_without_expires_in_and_refresh_token(identity):
    answer = identity.log_in(CREDENTIALS, None, URL)
    assert set(answer) == {"access_token", "instance_url", "id", "token_type", "issued_at", "signature", "scope"}
    assert all(isinstance(value, str) for value in answer.values())
    assert answer["instance_url"] == URL
    assert answer["issued_at"] == "1767225600000"
    identity.check(f"Bearer {answer['access_token']}")


def test_id_and_secret_may_come_in_the_basic_header(identity):
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    assert identity.log_in({"grant_type": "client_credentials"}, f"Basic {basic}", URL)["token_type"] == "Bearer"


def test_a_damaged_basic_header_is_an_invalid_client(identity):
    with pytest.raises(OAuthError, match="invalid_client"):
        identity.log_in({"grant_type": "client_credentials"}, "Basic %%%", URL)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**CREDENTIALS, "client_id": "other"}, "invalid_client_id"),
        ({**CREDENTIALS, "client_secret": "other"}, "invalid_client"),
        ({**CREDENTIALS, "grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
        (assertion(aud="https://example.com"), "invalid_grant"),
        (assertion(exp=1), "invalid_grant"),
        (assertion(sub="somebody@else.example"), "invalid_grant"),
        (assertion(iss="other"), "invalid_client_id"),
        (assertion(new_key_pair().private_pem), "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": "no jwt"}, "invalid_grant"),
    ],
)
def test_refused_grants_have_the_codes_of_the_token_endpoint(identity, form, error):
    with pytest.raises(OAuthError) as refused:
        identity.log_in(form, None, URL)
    assert (refused.value.status, refused.value.error) == (400, error)


@pytest.mark.parametrize("audience", ["https://login.salesforce.com", "https://test.salesforce.com", URL])
def test_an_assertion_for_the_login_hosts_or_the_org_itself_gives_a_session(identity, audience):
    answer = identity.log_in(assertion(aud=audience), None, URL)
    assert "issued_at" not in answer
    identity.check(f"Bearer {answer['access_token']}")


def test_without_a_registered_key_assertions_are_refused(clock):
    identity = Identity(clock, public_key_pem=None, session_seconds=7200)
    with pytest.raises(OAuthError, match="no certificate"):
        identity.log_in(assertion(), None, URL)


def test_a_session_lives_two_hours_from_its_last_use(identity, clock):
    header = f"Bearer {identity.log_in(CREDENTIALS, None, URL)['access_token']}"
    for _ in range(3):
        clock.move(7199)
        identity.check(header)
    clock.move(7200)
    with pytest.raises(ApiError) as refused:
        identity.check(header)
    assert (refused.value.status, refused.value.code) == (401, "INVALID_SESSION_ID")
    assert refused.value.message == "Session expired or invalid"


@pytest.mark.parametrize("header", [None, "", "Bearer nonsense"])
def test_no_session_no_answer(identity, header):
    with pytest.raises(ApiError, match="INVALID_SESSION_ID"):
        identity.check(header)


def test_a_revoked_session_is_over(identity):
    token = identity.log_in(CREDENTIALS, None, URL)["access_token"]
    identity.revoke(token)
    with pytest.raises(ApiError, match="INVALID_SESSION_ID"):
        identity.check(f"Bearer {token}")
