import pytest

from cli.credentials import secret_for
from cli.errors import UsageMistake

URL = "https://example.my.salesforce.com"
CLIENT = {"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_CLIENT_SECRET": "hidden"}


def test_the_client_credentials_flow_needs_an_id_and_a_secret():
    assert secret_for(URL, CLIENT) == {"login_url": URL, "client_id": "id", "client_secret": "hidden"}


def test_the_jwt_bearer_flow_needs_an_id_a_user_and_a_key(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("PEM")
    environment = {
        "SALESFORCE_CLIENT_ID": "id",
        "SALESFORCE_USERNAME": "user",
        "SALESFORCE_PRIVATE_KEY_FILE": str(key),
    }

    assert secret_for(URL, environment) == {
        "login_url": URL,
        "client_id": "id",
        "username": "user",
        "private_key": "PEM",
    }


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "SALESFORCE_CLIENT_ID is not set"),
        ({"SALESFORCE_CLIENT_ID": "id"}, "SALESFORCE_CLIENT_SECRET is not set"),
        ({"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_USERNAME": "u"}, "SALESFORCE_PRIVATE_KEY_FILE is not set"),
        ({"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_PRIVATE_KEY_FILE": "k"}, "SALESFORCE_USERNAME is not set"),
        (CLIENT | {"SALESFORCE_PRIVATE_KEY_FILE": "k"}, "are both set"),
        (
            {"SALESFORCE_CLIENT_ID": "i", "SALESFORCE_USERNAME": "u", "SALESFORCE_PRIVATE_KEY_FILE": "/no/such"},
            "cannot be read",
        ),
        (
            {"SALESFORCE_CLIENT_ID": "i", "SALESFORCE_USERNAME": "u", "SALESFORCE_PRIVATE_KEY_FILE": "/dev/null"},
            "SALESFORCE_PRIVATE_KEY_FILE: /dev/null is empty",
        ),
        (CLIENT | {"SALESFORCE_CLIENT_ID": " "}, "lacks client_id"),
    ],
)
def test_what_is_missing_is_named(environment, words):
    with pytest.raises(UsageMistake, match=words):
        secret_for(URL, environment)


@pytest.mark.parametrize("url", ["http://example.com", "example.com", "https://user:pw@example.com", "ftp://127.0.0.1"])
def test_a_url_that_would_give_the_secret_away_is_refused_without_being_repeated(url):
    with pytest.raises(UsageMistake, match="not an https URL") as refused:
        secret_for(url, CLIENT)

    assert url not in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("host", ["login", "test"])
def test_the_shared_login_host_is_refused_for_what_it_is(host):
    with pytest.raises(UsageMistake, match=r"is the shared login host.*Give the org's My Domain") as refused:
        secret_for(f"https://{host}.salesforce.com", CLIENT)

    assert "--org-url (login_url)" in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_plain_http_serves_within_this_machine():
    assert secret_for("http://127.0.0.1:8080", CLIENT)["login_url"] == "http://127.0.0.1:8080"
