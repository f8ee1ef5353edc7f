import hashlib
from pathlib import Path

import pytest
from http_site import Site, serving

from panoptic_ros.checkpoints.download import ATTEMPTS, CHUNK, DownloadError, download

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "model.pth"


def _nothing_else(file) -> bool:
    return [p.name for p in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("sha256", ["", SHA256[:8], SHA256])
def test_a_file_comes_whole_under_its_name(file, sha256):
    with serving(Site(CONTENT)) as site:
        download(site.url, file, sha256)
    assert file.read_bytes() == CONTENT
    assert _nothing_else(file)


def test_a_server_that_cuts_every_connection_is_asked_for_the_rest(file):
    with serving(Site(CONTENT, cut_after=100_000)) as site:
        download(site.url, file, SHA256)
    asked = [r.get("Range") for r in site.requests]
    assert asked == [None, "bytes=65536-", "bytes=131072-", "bytes=196608-"]
    assert file.read_bytes() == CONTENT


def test_a_part_of_an_earlier_call_is_continued(file):
    content = CONTENT * 4
    sha256 = hashlib.sha256(content).hexdigest()
    with serving(Site(content, cut_after=CHUNK)) as site:
        with pytest.raises(DownloadError, match="run the same command again"):
            download(site.url, file, sha256)
        assert len(site.requests) == ATTEMPTS
        assert not file.exists()
        site.cut_after = 0
        download(site.url, file, sha256)
    assert site.requests[-1]["Range"] == f"bytes={ATTEMPTS * CHUNK}-"
    assert file.read_bytes() == content
    assert _nothing_else(file)


def test_a_file_that_changed_meanwhile_is_fetched_anew(file):
    with serving(Site(b"old" * 200_000, cut_after=CHUNK)) as site:
        with pytest.raises(DownloadError):
            download(site.url, file)
        site.content, site.etag, site.cut_after = CONTENT, '"v2"', 0
        download(site.url, file)
    assert file.read_bytes() == CONTENT


def test_without_hash_and_validator_nothing_is_stitched_together(file):
    with serving(Site(CONTENT, etag="", cut_after=CHUNK)) as site:
        with pytest.raises(DownloadError):
            download(site.url, file)
        site.cut_after = 0
        download(site.url, file)
    assert all("Range" not in r for r in site.requests)
    assert file.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(file):
    with serving(Site(CONTENT, cut_after=CHUNK, ranges=False)) as site:
        with pytest.raises(DownloadError):
            download(site.url, file, SHA256)
        site.cut_after = 0
        download(site.url, file, SHA256)
    assert file.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(file):
    file.parent.mkdir()
    file.with_name("model.pth.part").write_bytes(CONTENT + b"more")
    with serving(Site(CONTENT)) as site:
        download(site.url, file, SHA256)
    assert file.read_bytes() == CONTENT


def test_another_hash_is_refused_and_the_file_deleted(file):
    with serving(Site(CONTENT)) as site, pytest.raises(ValueError, match="deleted unopened"):
        download(site.url, file, "0123abcd")
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_answer_that_is_no_file_is_told(file, status):
    with (
        serving(Site(CONTENT, status=status)) as site,
        pytest.raises(DownloadError, match=f"model.pth: the server answers {status}"),
    ):
        download(site.url, file, SHA256)
    assert not file.exists()


def test_a_server_that_is_not_there(file):
    with serving(Site(CONTENT)) as site:
        pass
    with pytest.raises(DownloadError, match="cannot be reached"):
        download(site.url, file, SHA256)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told(file):
    file.parent.mkdir()
    # Every write to it fails as on a full disk.
    file.with_name("model.pth.part").symlink_to("/dev/full")
    with (
        serving(Site(CONTENT)) as site,
        pytest.raises(DownloadError, match=r"is full after 0 MB of 0 MB; make room"),
    ):
        download(site.url, file, SHA256)
    assert not file.exists()


def test_the_server_is_not_asked_to_compress(file):
    with serving(Site(CONTENT)) as site:
        download(site.url, file)
    assert site.requests[0]["Accept-Encoding"] == "identity"
