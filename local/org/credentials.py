"""Who may log in to the simulated org."""

from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "simulated-org-client-id"
CLIENT_SECRET = "simulated-org-client-secret"  # noqa: S105 - public on purpose, of an org with generated rows
USERNAME = "integration@simulated-org.example"


@dataclass(frozen=True)
class KeyPair:
    """An RSA key pair in PEM: the client signs with the private half, the org is given the public one."""

    private_pem: str
    public_pem: str


def new_key_pair() -> KeyPair:
    """Generate a key pair for the JWT bearer flow."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(private_pem=private_pem.decode(), public_pem=public_pem.decode())
