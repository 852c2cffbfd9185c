"""Fetching from servers that cut connections, lie, or have another file: the right bytes or one sentence."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cribo.data.preparation import download
from cribo.data.preparation.download import Remote, fetch
from cribo.data.prepared.manifest import DataError

BODY = bytes(range(256)) * 4000  # 1 MB
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY; `manner` says how badly, `asked` notes the ranges asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner, self.asked, self.body, self.tag = "well", [], BODY, '"one"'

    def remote(self, name="file.tar", **about) -> Remote:
        return Remote(name, f"http://127.0.0.1:{self.server_address[1]}/{name}", **about)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, manner = self.server, self.server.manner
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        tries = len(server.asked)
        if manner == "missing":
            return self.send_error(404)
        if manner == "busy at first" and tries < 3:
            return self.send_error(503)
        start = int(wanted[6:-1]) if wanted else 0
        if manner == "no ranges" or (self.headers.get("If-Range") not in (None, server.tag)):
            start = 0
        if start >= len(server.body) and wanted:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            shown = start + 7 if manner == "wrong range" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(server.body) - 1}/{len(server.body)}")
        stated = {"states too much": len(rest) + 100, "states too little": 1000}.get(manner, len(rest))
        self.send_header("Content-Length", str(stated))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        cut = manner == "cuts" or (manner in ("cuts at first", "no ranges", "wrong range") and tries < 3)
        self.wfile.write(rest[: 300_000 if cut else stated])
        self.close_connection = True


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_files_are_fetched_several_at_a_time_and_only_once(server, tmp_path):
    files = [server.remote(f"{n}.tar", bytes=len(BODY), digest=SHA) for n in range(6)]
    fetch(files, tmp_path, pause=0)
    assert names(tmp_path) == [f"{n}.tar" for n in range(6)] and (tmp_path / "3.tar").read_bytes() == BODY
    fetch(files, tmp_path, pause=0)
    assert len(server.asked) == 6


@pytest.mark.parametrize("digest", [SHA, "md5:" + hashlib.md5(BODY).hexdigest(), "sha1:" + hashlib.sha1(BODY).hexdigest()])
def test_published_digest_of_any_kind_is_checked(server, tmp_path, digest):
    fetch([server.remote(digest=digest)], tmp_path, pause=0)
    server.body = BODY[:-1] + b"x"
    with pytest.raises(DataError, match=f"is not other.tar .its {digest.split(':')[0]} is"):
        fetch([server.remote("other.tar", digest=digest)], tmp_path, pause=0)


def test_cut_connections_are_continued_where_they_broke(server, tmp_path):
    server.manner = "cuts"
    fetch([server.remote(digest=SHA)], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY and names(tmp_path) == ["file.tar"]
    starts = [int(wanted[6:-1]) for wanted in server.asked[1:]]
    assert len(starts) >= 3 and starts == sorted(set(starts)) and starts[0] > 200_000  # nothing twice but the last block


@pytest.mark.parametrize("manner", ["busy at first", "no ranges", "wrong range", "cuts at first"])
def test_server_in_trouble_is_asked_again(server, tmp_path, manner):
    server.manner = manner
    fetch([server.remote(digest=SHA, bytes=len(BODY))], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY and len(server.asked) >= 3


@pytest.mark.parametrize(("manner", "about"), [("states too much", {}), ("states too little", {"bytes": len(BODY)})])
def test_lie_about_the_length_ends_in_a_sentence_and_no_file(server, tmp_path, manner, about):
    server.manner = manner
    server.tag = ""  # nothing to continue by
    with pytest.raises(DataError, match=r"file.tar cannot be fetched \(.*put it into .* as file.tar"):
        fetch([server.remote(**about)], tmp_path, pause=0)
    assert "file.tar" not in names(tmp_path)


def test_larger_file_than_published_is_refused(server, tmp_path):
    with pytest.raises(DataError, match="more than the 1000 bytes that are published"):
        fetch([server.remote(bytes=1000)], tmp_path, pause=0)
    assert names(tmp_path) == []


def test_wrong_file_is_refused_with_both_digests_and_deleted(server, tmp_path):
    server.body = b"<html>sign in first</html>"
    found = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(DataError, match=f"its sha256 is {found}, and {SHA[7:]} is published.*put it into"):
        fetch([server.remote(digest=SHA)], tmp_path, pause=0)
    assert names(tmp_path) == []


def test_file_that_changed_on_the_server_is_fetched_anew_not_glued_together(server, tmp_path):
    (tmp_path / "file.tar.part").write_bytes(b"y" * 300_000)
    (tmp_path / "file.tar.part.version").write_text('"zero"')
    fetch([server.remote()], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY and server.asked == ["bytes=300000-"]


def test_part_of_an_earlier_run_is_continued(server, tmp_path):
    (tmp_path / "file.tar.part").write_bytes(BODY[:400_000])
    fetch([server.remote(digest=SHA)], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY and server.asked == ["bytes=400000-"]


@pytest.mark.parametrize("digest", [SHA, None])
def test_part_that_is_whole_gets_its_name_without_being_fetched_again(server, tmp_path, digest):
    (tmp_path / "file.tar.part").write_bytes(BODY)
    (tmp_path / "file.tar.part.version").write_text(server.tag)
    fetch([server.remote(digest=digest)], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY and server.asked == [f"bytes={len(BODY)}-"]
    assert names(tmp_path) == ["file.tar"]


def test_part_of_another_file_that_is_as_long_or_longer_is_refused_or_fetched_anew(server, tmp_path):
    (tmp_path / "file.tar.part").write_bytes(b"y" * len(BODY))
    with pytest.raises(DataError, match=r"is not file.tar \(its sha256 is"):
        fetch([server.remote(digest=SHA)], tmp_path, pause=0)
    (tmp_path / "file.tar.part").write_bytes(b"y" * (len(BODY) + 1))
    fetch([server.remote(digest=SHA)], tmp_path, pause=0)
    assert (tmp_path / "file.tar").read_bytes() == BODY


def test_answer_that_will_not_change_is_not_asked_for_again(server, tmp_path):
    server.manner = "missing"
    with pytest.raises(DataError, match=r"cannot be fetched \(404 Not Found\): download http://.* and put it into"):
        fetch([server.remote()], tmp_path, pause=0)
    assert len(server.asked) == 1


def test_offline_is_one_sentence_a_file_saying_what_to_put_where(tmp_path):
    files = [Remote(name, f"http://127.0.0.1:1/{name}") for name in ("a.zip", "b.zip")]
    with pytest.raises(DataError) as error:
        fetch(files, tmp_path, pause=0)
    lines = str(error.value).splitlines()
    assert len(lines) == 2 and all("the server cannot be reached" in line for line in lines)
    assert lines[0].endswith(f"download http://127.0.0.1:1/a.zip elsewhere and put it into {tmp_path} as a.zip")


def test_one_bad_file_does_not_lose_the_others(server, tmp_path):
    with pytest.raises(DataError, match=r"bad\.tar") as error:
        fetch([server.remote("good.tar", digest=SHA), server.remote("bad.tar", digest="md5:0")], tmp_path, pause=0)
    assert names(tmp_path) == ["good.tar"] and "good.tar" not in str(error.value)


def test_progress_tells_bytes_rate_and_time_left(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.part").write_bytes(bytes(1 << 20))
    shown = download._Shown([Remote("a", "", bytes=4 << 20)], tmp_path)
    (tmp_path / "a.part").write_bytes(bytes(2 << 20))
    monkeypatch.setattr(shown, "last", shown.last - 10)
    monkeypatch.setattr(shown, "start", shown.start - 10)
    shown.tick()
    assert capsys.readouterr().err.startswith("fetching 1 files: 2/4 MiB, 0.1 MiB/s, 20 s left")
