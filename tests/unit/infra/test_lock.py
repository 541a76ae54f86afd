from infra.lock import HEADER, render


def package(name: str, version: str, sha256: str) -> dict[str, object]:
    """An entry of pip's installation report."""
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {"archive_info": {"hashes": {"sha256": sha256}}},
    }


def test_the_lock_file_is_sorted_and_pins_version_and_hash() -> None:
    report = {"install": [package("PyJWT", "2.15.1", "b" * 64), package("boto3", "1.44.5", "a" * 64)]}
    assert render(report) == (
        f"{HEADER}boto3==1.44.5 --hash=sha256:{'a' * 64}\npyjwt==2.15.1 --hash=sha256:{'b' * 64}\n"
    )
