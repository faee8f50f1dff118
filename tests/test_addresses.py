"""What is shown of an address, alone and within the texts of other libraries."""

from __future__ import annotations

import pickle
import random
import string

import pytest

from vfeat.addresses import public, redacted, user_of, with_user, without_secrets
from vfeat.errors import ERROR_CLASSES, JobError, StorageError, UnitError
from vfeat.outcome import Outcome, RangeError

SECRET = "PLANTEDSECRET"
ADDRESSES = [
    f"https://me:{SECRET}@host/a.mp4",
    f"https://{SECRET}@host:8443/a.mp4",
    f"https://host/a.mp4?X-Amz-Signature={SECRET}&b=c",
    f"https://host/a.mp4#access={SECRET}",
    f"HTTPS://me:{SECRET}@host/a.mp4?token={SECRET}",
    f"git+https://me:{SECRET}@host/a.mp4?token={SECRET}",
    f"s3://AKIA:{SECRET}@bucket/a.mp4",
    f"s3://AKIA:x/{SECRET}+y@bucket/a.mp4",
    f"https://me:x/{SECRET}@host/a.mp4",
    f"ftp://me:{SECRET}@host/a.mp4",
    f"vault://me:{SECRET}@host/a.mp4",
    f"zip://in/side.mp4::https://me:{SECRET}@host/a.zip?sig={SECRET}",
    f"simplecache::https://host/a.mp4?sig={SECRET}",
    f'https://host/it\'s (a) "name", too.mp4?sig={SECRET}',
]
KEPT = [
    "/data/what?a=b.mp4", "file:///data/a?b@c.mp4", "relative/100%#1.mp4",
    "s3://bucket/what?now#1@2x.mp4", "s3://arn:aws:s3:eu-west-1:1:accesspoint/n/k@2x.mp4",
    "abfs://container@account.dfs.core.windows.net/a.mp4", "https://host:8080/a@2x.mp4",
    "zip://what?.mp4::s3://bucket/a.zip", "hf://owner/repo@main/file.pth", "https://[::1]:80/a@b",
]  # fmt: skip


@pytest.mark.parametrize("uri", ADDRESSES)
def test_no_secret_is_left_of_an_address(uri: str) -> None:
    shown = public(uri)
    assert SECRET not in shown and shown.partition("::")[0]
    assert public(shown) == shown
    assert shown.endswith((".mp4", ".zip"))


@pytest.mark.parametrize("uri", KEPT)
def test_legal_characters_of_names_stay(uri: str) -> None:
    assert public(uri) == uri
    assert redacted(f"{uri}: no such file") == f"{uri}: no such file"


@pytest.mark.parametrize("uri", [a for a in ADDRESSES if " " not in a])
@pytest.mark.parametrize(
    "text",
    [
        "{}", "{}: 403 Forbidden", "Cannot open '{}'.", "url=URL('{}')", 'get "{}", again', "<{}>",
        "403, message='Forbidden', url=URL('{}'), and\nthe next line ({})", "see {}; or {}, or {}",
        '{{"uri": "{}"}}', "Server returned 403 for {} [AVIO] error",
    ],
)  # fmt: skip
def test_no_secret_is_left_in_a_text(text: str, uri: str) -> None:
    told = redacted(text.replace("{}", uri))
    assert SECRET not in told
    assert told == redacted(told)
    # the address itself and the words around it stay
    assert public(uri).rpartition("/")[2] in told
    assert all(word in told for word in text.split("{}")[0].split())


def test_signatures_are_cut_where_their_address_is_not_there() -> None:
    text = (
        f"GET /a.mp4?X-Amz-Credential={SECRET}%2F1&X-Amz-Signature={SECRET} HTTP/1.1, sig={SECRET}"
    )
    assert SECRET not in redacted(text)


def test_any_text_survives() -> None:
    random.seed(7)
    alphabet = string.ascii_letters + string.punctuation + " \n\0é"
    for _ in range(3000):
        text = "".join(random.choices(alphabet, k=random.randrange(40)))
        assert redacted(text) == text or "=" in text or "://" in text
        for uri in (f"https://{text}", f"s3://{text}", text):
            assert public(public(uri)) == public(uri)
            assert redacted(redacted(uri)) == redacted(uri)


def test_user_and_address_come_together_again() -> None:
    for uri in ("https://me:pw@host/a", "ftp://u:p@h/x/y", "s3://k:s@b/x", "https://me@host"):
        assert with_user(public(uri), user_of(uri)) == uri
    assert user_of("/data/me@home/a") == user_of("https://host/a@b") == ""


def test_no_error_holds_a_secret() -> None:
    """Neither its message, nor what is pickled of it between processes."""
    text = f"https://me:{SECRET}@host/a.mp4?sig={SECRET}: no answer"
    for error in (JobError(text, text), StorageError(text), UnitError("storage", text)):
        assert "https://host/a.mp4: no answer" in str(error)
        for value in (error, pickle.loads(pickle.dumps(error))):
            assert SECRET not in f"{value} {value!r} {value.args} {value.lines} {vars(value)}"
    for error_class in ERROR_CLASSES:
        assert SECRET not in repr(RangeError(0, 1, error_class, text))
    assert SECRET not in repr(Outcome("v", f"https://h/a?{SECRET}", 0, 1, 2, warnings=(text,)))


def test_values_are_cleaned_wherever_they_stand() -> None:
    value = {"a": [f"https://h/a?{SECRET}", {"b": (f"at https://u:{SECRET}@h", 1, None, True)}]}
    assert without_secrets(value) == {"a": ["https://h/a", {"b": ["at https://h", 1, None, True]}]}
