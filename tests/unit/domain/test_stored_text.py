"""Texts as Salesforce stores them (Apex Developer Guide, "Primitive Data Types")."""

from hypothesis import given
from hypothesis import strategies as st

from massive_upload.domain.stored_text import BLANKS, stored, stored_texts

texts = st.text(alphabet=st.sampled_from("aZ9é\u00a0\u200b\U0001f600" + BLANKS), max_size=6)


@given(st.lists(texts, max_size=6))
def test_many_texts_are_stored_as_each_of_them_is(many):
    assert stored_texts(many) == [stored(text) for text in many]


def test_blanks_and_control_characters_are_trimmed_and_no_other_white_space():
    assert stored_texts(["\x00\t a b\x1f ", "\u00a0a\u00a0"]) == ["a b", "\u00a0a\u00a0"]
    assert stored_texts(["a", "b\x7f"]) == ["a", "b\x7f"]
