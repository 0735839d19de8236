"""Tests of albert.text.characters."""

import pytest

from albert.text import characters


@pytest.mark.parametrize("ideograph", "\u4e00\u9fff\u3400\u4dbf\U00020000\U0002a6df\uf900\ufaff")
def test_the_first_and_the_last_ideograph_of_a_block_are_words(ideograph):
    spaced = f"a{ideograph}b".translate(characters.CLEAN_AND_SPACE_IDEOGRAPHS)
    assert spaced.split() == ["a", ideograph, "b"]


@pytest.mark.parametrize("letter", "\u3042\uac00\ufb00\u4dc0")
def test_letters_beside_the_blocks_are_no_words(letter):
    assert f"a{letter}b".translate(characters.CLEAN_AND_SPACE_IDEOGRAPHS).split() == [f"a{letter}b"]
