from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh64

from massive_upload.domain.key_digest import NO_KEYS, KeyDigest
from massive_upload.domain.stored_text import stored

key_lists = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique_by=stored, max_size=20)


def test_a_key_s_hash_is_that_of_the_specification():
    """The hash of "Nobody inspects the spammish repetition" is an example of xxHash's Python package."""
    assert KeyDigest.of(["Nobody inspects the spammish repetition"]).hex == "fbcea83c8a378bf1"


def test_a_digest_is_the_sum_of_the_keys_hashes():
    """As docs/receipt.md tells people to compute it."""
    hashes = [int(xxh64(key.encode()).hexdigest(), 16) for key in ("OPP-0000001", "Zürich")]
    assert KeyDigest.of(["OPP-0000001", "Zürich"]).hex == f"{sum(hashes) % 2**64:016x}"


def test_a_sum_of_hashes_keeps_to_64_bits():
    keys = [f"OPP-{number}" for number in range(8)]
    hashes = [int(xxh64(key.encode()).hexdigest(), 16) for key in keys]
    assert sum(hashes) > 2 * 2**64
    assert KeyDigest.of(keys).hex == f"{sum(hashes) % 2**64:016x}"
    assert KeyDigest(2**64 - 1) + KeyDigest(2) == KeyDigest(1)
    assert KeyDigest(1) - KeyDigest(2) == KeyDigest(2**64 - 1)


@given(key_lists, st.randoms(use_true_random=False))
def test_order_and_blanks_around_a_key_do_not_matter(keys, random):
    shuffled = [f" {key}\n\x1b" for key in keys]
    random.shuffle(shuffled)
    assert KeyDigest.of(shuffled) == KeyDigest.of(keys)
    assert KeyDigest.from_hex(KeyDigest.of(keys).hex) == KeyDigest.of(keys)


def test_white_space_that_salesforce_keeps_is_part_of_a_key():
    assert KeyDigest.of(["A\u00a0"]) != KeyDigest.of(["A"])


@given(key_lists, st.integers(0, 20))
def test_parts_add_up_to_the_whole_and_can_be_taken_out(keys, cut):
    whole, left, right = KeyDigest.of(keys), KeyDigest.of(keys[:cut]), KeyDigest.of(keys[cut:])
    assert left + right == whole
    assert whole - left == right
    assert whole - whole == NO_KEYS
