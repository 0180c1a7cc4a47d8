"""What stores take from the environment and from the machine: roles, certificates, encryption."""

import time
from collections.abc import Iterator

import pytest
from faulty_store import FaultyStore, Handler, answers, content, faulty_store, silent
from roles import KEY, NAME, ROLE, SECRET_OF_ROLE, TOKEN, use_role

from batch_ser.errors import UsageError
from batch_ser.storage import StorageError, aws_role, open_folder
from batch_ser.storage.aws_role import Role

DATE = ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
TAG = ("ETag", '"1"')


@pytest.fixture
def metadata(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """A server that is asked for the role of this machine."""
    with faulty_store(s3) as server:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", server.address)
        yield server


def test_a_role_signs_requests(
    metadata: FaultyStore, s3: str, no_keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service is asked once, whatever number of buckets and objects."""
    signed: list[str] = []

    def note(handler: Handler) -> None:
        signed.append(handler.headers.get("Authorization") or "")
        handler.send(handler.forward())

    use_role(metadata, monkeypatch)
    with faulty_store(s3) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.address)
        store.add("/", note, method="any")
        for name in ("a", "b"):
            open_folder(no_keys).write(name, b"1")
            assert open_folder(no_keys).read(name) == b"1"
    assert len(signed) == 4
    assert all(f"Credential={KEY}/" in each for each in signed)
    asked = [("PUT", TOKEN), ("GET", f"/latest/meta-data{ROLE}")]
    assert metadata.requests == [*asked, ("GET", f"/latest/meta-data{ROLE}{NAME}")]


@pytest.mark.parametrize(("at", "method"), [(TOKEN, "PUT"), (ROLE, "GET"), (ROLE + NAME, "GET")])
def test_a_service_that_never_answers_costs_seconds(
    at: str,
    method: str,
    metadata: FaultyStore,
    no_keys: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once: it is not asked again for every object."""
    monkeypatch.setattr(aws_role, "LOOKUP_S", 1.0)
    metadata.add(at, silent(30), method=method)
    use_role(metadata, monkeypatch)
    what = rf"metadata service at 127\.0\.0\.1:\d+ did not answer within 1 s \({method} .*{at}"
    for _ in range(3):
        with pytest.raises(UsageError, match=what) as raised:
            open_folder(no_keys)
    assert "expected AWS_ACCESS_KEY_ID" in str(raised.value)
    assert "AWS_SKIP_SIGNATURE=true" in str(raised.value)
    assert len([path for _, path in metadata.requests if path.endswith(at)]) == 1


def test_the_bounds_of_a_lookup() -> None:
    assert aws_role.CONNECT_S < aws_role.LOOKUP_S <= 5, "docs/storage.md states it"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (answers(404, "", SECRET_OF_ROLE), r"answered 404 \(GET"),
        (content(f'{{"SecretAccessKey": "{SECRET_OF_ROLE}"}}'.encode()), "without credentials"),
        (content(SECRET_OF_ROLE.encode()), "without credentials"),
    ],
)
def test_a_service_that_answers_something_else(
    fault: object,
    message: str,
    metadata: FaultyStore,
    no_keys: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata.add(ROLE + NAME, fault)  # type: ignore[arg-type]
    use_role(metadata, monkeypatch)
    with pytest.raises(UsageError, match=message) as raised:
        open_folder(no_keys)
    assert SECRET_OF_ROLE not in str(raised.value)


def test_a_busy_service_is_asked_again(
    metadata: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_role, "PAUSE_S", 0.01)
    metadata.add(TOKEN, answers(503, ""), 2, "PUT")
    metadata.add(ROLE, answers(429, ""), 1)
    use_role(metadata, monkeypatch)
    assert Role(metadata.address)()["access_key_id"] == KEY


@pytest.mark.parametrize("fallback", ["", "true"])
def test_a_service_without_tokens(
    fallback: str, metadata: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.add(TOKEN, answers(403, ""), method="PUT")
    use_role(metadata, monkeypatch)
    monkeypatch.setenv("AWS_IMDSV1_FALLBACK", fallback)
    if fallback:
        assert Role(metadata.address)()["access_key_id"] == KEY
    else:
        with pytest.raises(StorageError, match="answered 403"):
            Role(metadata.address)()


def test_credentials_that_are_about_to_expire(
    metadata: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones are asked for; where none come, these are used until they expire."""
    metadata.add(TOKEN, content(b"token"), 1, "PUT")
    metadata.add(TOKEN, answers(403, ""), 1, "PUT")
    use_role(metadata, monkeypatch, lasts_s=60)
    role = Role(metadata.address)
    first = role()
    assert role() == first
    assert len(metadata.requests) == 4, "a second lookup ended with its first request"
    assert role() == first
    assert len(metadata.requests) == 4, "after one that failed comes a pause"
    monkeypatch.setattr(aws_role, "AGAIN_S", 0.0)
    expired = Role(metadata.address)
    expired._found = first | {"expires_at": first["expires_at"].replace(year=2020)}
    metadata.add(TOKEN, answers(403, ""), method="PUT")
    assert expired()["expires_at"] == first["expires_at"]


def test_a_role_that_is_lost_while_a_job_runs(
    metadata: FaultyStore, no_keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object fails with what was asked; it is not the store that refuses."""
    use_role(metadata, monkeypatch)
    folder = open_folder(no_keys)
    monkeypatch.setattr(Role, "_lasts", lambda *_: False)
    metadata._faults.insert(0, ("PUT", TOKEN, [answers(404, "")]))
    started = time.monotonic()
    with pytest.raises(StorageError, match=r"metadata service at .* answered 404 \(PUT"):
        folder.write("a", b"")
    assert time.monotonic() - started < 30


STORES = {
    "gs": ("GOOGLE", {"GOOGLE_BASE_URL": "{}", "GOOGLE_SKIP_SIGNATURE": "true"}),
    "az": (
        "AZURE",
        {
            "AZURE_STORAGE_ENDPOINT": "{}",
            "AZURE_SKIP_SIGNATURE": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "calls",
        },
    ),
}


@pytest.mark.parametrize("scheme", STORES)
def test_each_store_has_variables_of_its_own(
    scheme: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of AWS, which are set for another store of the same job."""
    prefix, variables = STORES[scheme]
    agents: list[str | None] = []
    with faulty_store(s3) as store:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(store.address))

        def note(handler: Handler) -> None:
            agents.append(handler.headers.get("User-Agent"))
            content(b"1", DATE, TAG)(handler)

        store.add("/", note)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_USER_AGENT", "of-aws")
        with pytest.raises(StorageError, match=f"{prefix}_ALLOW_HTTP"):
            open_folder(f"{scheme}://bucket").read("a")
        monkeypatch.setenv(f"{prefix}_ALLOW_HTTP", "true")
        monkeypatch.setenv(f"{prefix}_USER_AGENT", "of-this-store")
        assert open_folder(f"{scheme}://bucket").read("a") == b"1"
    assert agents == ["of-this-store"]


@pytest.mark.parametrize(
    ("address", "variables", "message"),
    [
        ("az://calls", {}, "expected AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://calls", {"GOOGLE_SERVICE_ACCOUNT": "/nowhere.json"}, r"/nowhere\.json: No such"),
        ("gs://calls", {"GOOGLE_SERVICE_ACCOUNT_KEY": "do-not-show-this"}, r"settings \(GOOGLE_"),
        ("s3://calls", {"AWS_PROXY_URL": "::do-not-show-this"}, r"settings \(AWS_"),
        ("s3://calls", {"AWS_CA_BUNDLE": "/nowhere.pem"}, r"AWS_CA_BUNDLE: found /nowhere\.pem"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_settings_that_cannot_be_used_are_a_sentence(
    address: str, variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message) as raised:
        open_folder(address)
    assert "do-not-show-this" not in str(raised.value)
