import pytest

from massive_upload.errors import CredentialsRejected
from massive_upload.salesforce.credentials import ClientSecret, PrivateKey, parse_credentials

LOGIN_URL = "https://example.my.salesforce.com"


def test_client_secret_is_read_and_the_trailing_slash_of_the_url_dropped():
    credentials = parse_credentials({"login_url": f"{LOGIN_URL}/", "client_id": "c", "client_secret": "s"})
    assert credentials == ClientSecret(login_url=LOGIN_URL, client_id="c", client_secret="s")


def test_private_key_with_escaped_line_breaks_is_read():
    credentials = parse_credentials(
        {
            "login_url": LOGIN_URL,
            "client_id": "c",
            "username": "u",
            "private_key": "-----BEGIN\\nX\\n-----END",
        }
    )
    assert credentials == PrivateKey(
        login_url=LOGIN_URL, client_id="c", username="u", private_key="-----BEGIN\nX\n-----END"
    )


def test_an_empty_private_key_beside_a_client_secret_counts_as_absent():
    credentials = parse_credentials(
        {"login_url": LOGIN_URL, "client_id": "c", "client_secret": "s", "private_key": "", "username": None}
    )
    assert isinstance(credentials, ClientSecret)


@pytest.mark.parametrize("login_url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080"])
def test_plain_http_is_accepted_to_loopback(login_url):
    secret = {"login_url": login_url, "client_id": "c", "client_secret": "s"}
    assert parse_credentials(secret).login_url == login_url


@pytest.mark.parametrize(
    "login_url",
    [
        "http://example.my.salesforce.com",
        "http://127.0.0.1.example.com",
        "example.my.salesforce.com",
        "ftp://example.my.salesforce.com",
        "https://",
        "https://[::1",
        "https://name:hidden@example.my.salesforce.com",
        "https://:hidden@example.my.salesforce.com",
        "http://hidden.example\\@127.0.0.1/",
        "https://example.my.salesforce.com/\nhidden",
        "https://example.my.salesforce.com?next=hidden",
        "https://example.my.salesforce.com#hidden",
    ],
)
def test_other_login_urls_are_rejected_without_being_quoted(login_url):
    with pytest.raises(CredentialsRejected, match="login_url") as caught:
        parse_credentials({"login_url": login_url, "client_id": "c", "client_secret": "s"})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "named"),
    [
        ({}, "login_url"),
        ({"login_url": LOGIN_URL, "client_secret": "s3cr3t"}, "client_id"),
        ({"login_url": LOGIN_URL, "client_id": "c"}, "neither client_secret nor private_key"),
        ({"login_url": LOGIN_URL, "client_id": "c", "private_key": "s3cr3t"}, "username"),
        ({"login_url": LOGIN_URL, "client_id": 17, "client_secret": "s3cr3t"}, "client_id"),
        (
            {"login_url": LOGIN_URL, "client_id": "c", "client_secret": "s3cr3t", "private_key": "s3cr3t"},
            "both client_secret and private_key",
        ),
    ],
)
def test_a_wrong_secret_is_rejected_by_the_name_of_the_key(secret, named):
    with pytest.raises(CredentialsRejected, match=named) as caught:
        parse_credentials(secret)
    assert "s3cr3t" not in str(caught.value)


def test_secrets_stay_out_of_representations():
    assert "s3cr3t" not in repr(ClientSecret(login_url=LOGIN_URL, client_id="c", client_secret="s3cr3t"))
    assert "s3cr3t" not in repr(PrivateKey(login_url=LOGIN_URL, client_id="c", username="u", private_key="s3cr3t"))
