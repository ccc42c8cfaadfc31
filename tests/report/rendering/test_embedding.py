"""Embedded data contain no markup, and details fit their limit."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest

from dlt_dbtcloud.report.rendering.embedding import data_json, details_text, digest


def test_data_contain_no_character_of_markup() -> None:
    value = {"</script><!--": ["<b>&amp;", "\u2028\u2029", "שלום", 1.5, None]}
    text = data_json(value)
    assert not {*"<>&\u2028\u2029"} & {*text}
    assert json.loads(text) == value


def test_data_are_json_that_browsers_read() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_json(float("nan"))


def test_details_are_compressed_and_always_the_same() -> None:
    def details(budget: int) -> list[Any]:
        return ["select 1\n" * 1000] * 10

    text = details_text(details, 1000)
    assert text == details_text(details, 1000)
    assert json.loads(gzip.decompress(base64.b64decode(text))) == details(0)


def test_details_that_do_not_shrink_are_cut_to_the_limit() -> None:
    chance = random.Random(1)
    texts = [f"{chance.getrandbits(4000):x}" for _ in range(200)]

    def details(budget: int) -> list[Any]:
        kept = []
        for text in texts:
            kept.append(text if budget > 0 else "")
            budget -= len(kept[-1])
        return kept

    text = details_text(details, 50_000)
    kept = json.loads(gzip.decompress(base64.b64decode(text)))
    assert len(text) <= 50_000
    assert kept[0] == texts[0]
    assert sum(map(bool, kept)) > 20


def test_the_digest_is_that_of_the_policy() -> None:
    assert digest("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
