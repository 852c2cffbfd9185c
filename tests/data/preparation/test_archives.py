"""Archives: good ones come out whole, hostile and damaged ones not at all, interrupted ones again."""

import errno
import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest

from cribo.command import sentence
from cribo.data.preparation import archives
from cribo.data.preparation.archives import Bounds, unfinished, unpack
from cribo.data.prepared.manifest import DataError

GOOD = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 40, "empty": b""}


def tar(path: Path, files: dict[str, bytes] = GOOD, mode: str = "w", extra=()) -> Path:
    """A tar of files, and of (member, content) pairs as they are."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member, content in extra:
            archive.addfile(member, io.BytesIO(content) if content is not None else None)
    return path


def member(name: str, **about) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in about.items():
        setattr(info, key, value)
    return info


def zipped(path: Path, files: dict[str, bytes] = GOOD) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_good_archive_comes_out_whole_and_leaves_nothing_behind(tmp_path, name):
    made = zipped(tmp_path / name) if name.endswith("zip") else tar(tmp_path / name, mode=f"w:{name[6:]}")
    unpack(made, tmp_path / "out", "sub")
    assert content(tmp_path / "out/sub") == GOOD and [p.name for p in (tmp_path / "out").iterdir()] == ["sub"]


def test_archive_of_a_folder_itself_comes_out_too(tmp_path):
    made = tar(tmp_path / "a.tar", {}, extra=[(member(".", type=tarfile.DIRTYPE), None), (member("./a.txt", size=1), b"x")])
    unpack(made, tmp_path / "out")
    assert content(tmp_path / "out") == {"a.txt": b"x"}


def test_tars_in_a_tar_become_folders_with_their_names(tmp_path):
    inner = {f"{n}.tar": tar(tmp_path / "inner", {f"{n}_1.JPEG": n.encode()}).read_bytes() for n in ("n1", "n2")}
    unpack(tar(tmp_path / "outer.tar", inner), tmp_path / "out", "train", nested=True)
    assert content(tmp_path / "out") == {f"train/{n}/{n}_1.JPEG": n.encode() for n in ("n1", "n2")}


# --------------------------------------------------------------------------------------------------- hostile archives
def _absolute(path):
    return tar(path, {"/etc/owned": b"x"}), "absolute path"


def _drive(path):
    return zipped(path, {"C:owned": b"x"}), "absolute path"


def _parent(path):
    return tar(path, {"a/../../owned": b"x"}), "leaves its folder"


def _parent_in_zip(path):
    return zipped(path, {"../owned": b"x"}), "leaves its folder"


def _backslash(path):
    made = zipped(path, {"a/owned": b"x"})
    path.write_bytes(made.read_bytes().replace(b"a/owned", b"..\\owne"))
    return path, "no sensible name"


def _endless_name(path):
    return tar(path, {"a" * 300: b"x"}), "no sensible name"


def _symlink(path):
    return tar(path, extra=[(member("s", type=tarfile.SYMTYPE, linkname="/etc"), None)]), r"is a link \(to '/etc'\)"


def _hardlink(path):
    return tar(path, extra=[(member("h", type=tarfile.LNKTYPE, linkname="../../secret"), None)]), "is a link"


def _link_in_zip(path):
    info = zipfile.ZipInfo("s")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc")
    return path, "is a link"


def _device(path):
    return tar(path, extra=[(member("d", type=tarfile.CHRTYPE, devmajor=1, devminor=3), None)]), "is a device"


def _pipe(path):
    return tar(path, extra=[(member("p", type=tarfile.FIFOTYPE), None)]), "is a device"


def _twice(path):
    return tar(path, extra=[(member("a.txt", size=5), b"other")]), "occurs twice"


def _file_as_folder(path):
    return tar(path, extra=[(member("a.txt/b", size=1), b"x")]), "file and a folder at once"


def _too_large(path):
    return zipped(path, {"bomb": bytes(3_000_000)}), "more bytes than it may"


def _too_many(path):
    return tar(path, {str(n): b"" for n in range(60)}), "more files than it may"


def _lying_zip(path):
    raw = bytearray(zipped(path, {"bomb": bytes(100_000)}).read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (10).to_bytes(4, "little")  # the stated size of what it unpacks to
    path.write_bytes(raw)
    return path, "larger than|damaged"


def _shared_bytes(path):
    raw = bytearray(zipped(path, {"a": bytes(1000), "b": bytes(1000)}).read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = bytes(4)  # both members begin at 0
    path.write_bytes(raw)
    return path, "shares its bytes"


def _encrypted(path):
    raw = bytearray(zipped(path).read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 8] |= 1
    path.write_bytes(raw)
    return path, "is encrypted"


def _endless_words(path, kind=tarfile.GNUTYPE_LONGNAME, size=20 << 20):
    """20 MB of a name, 20 kB packed."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(member("words", type=kind, size=size).tobuf(tarfile.GNU_FORMAT))
        file.write(b"a" * abs(size) + member("x").tobuf() + bytes(1024))
    return path, f"has a header of {size} bytes"


def _endless_pax(path):
    return _endless_words(path, tarfile.XHDTYPE)


def _words_of_negative_size(path):
    return _endless_words(path, size=-(1 << 20))


def _sparse(path):
    return tar(path, extra=[(member("s", type=tarfile.GNUTYPE_SPARSE, size=0), None)]), "holds a sparse file"


def _cut_tar(path):
    raw = tar(path).read_bytes()
    path.write_bytes(raw[:1536])  # one member, whole; then nothing
    return path, "is damaged"


def _cut_in_a_member(path):
    raw = tar(path).read_bytes()
    path.write_bytes(raw[:5000])
    return path, "is damaged|bytes"


def _cut_gz(path):
    raw = tar(path, mode="w:gz").read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    return path, "is damaged"


def _wrong_sum(path):
    raw = bytearray(zipped(path, {"a": bytes(range(256))}).read_bytes())
    raw[60] ^= 255
    path.write_bytes(raw)
    return path, "is damaged"


def _cut_zip(path):
    raw = zipped(path).read_bytes()
    path.write_bytes(raw[:-30])
    return path, "neither a tar nor a zip"


def _web_page(path):
    path.write_text("<html>404 not found</html>")
    return path, "neither a tar nor a zip"


HOSTILE = [
    *(
        _absolute,
        _drive,
        _parent,
        _parent_in_zip,
        _backslash,
        _endless_name,
        _symlink,
        _hardlink,
        _link_in_zip,
        _device,
        _pipe,
        _twice,
    ),
    *(_file_as_folder, _too_large, _too_many, _lying_zip, _shared_bytes, _encrypted),
    *(_endless_words, _endless_pax, _words_of_negative_size, _sparse),
    *(_cut_tar, _cut_in_a_member, _cut_gz, _wrong_sum, _cut_zip, _web_page),
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__[1:])
def test_hostile_or_damaged_archive_is_refused_by_name_and_nothing_comes_out(tmp_path, make):
    path, says = make(tmp_path / "some.archive")
    before = content(tmp_path)
    with pytest.raises(DataError, match=says) as error:
        unpack(path, tmp_path / "out" / "deep", bounds=Bounds(1_000_000, 50))
    assert "some.archive" in str(error.value) and str(error.value).count("\n") == 0
    assert content(tmp_path) == before and not list((tmp_path / "out" / "deep").iterdir())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["n1.tar", "n1.tar"], "'n1.tar' occurs twice"),
        ([f"{n}.tar" for n in range(60)], "more files than it may"),
        (["../n1.tar"], "leaves its folder"),
        ([".tar"], "has no sensible name"),
    ],
    ids=["twice", "too many", "outside", "no name"],
)
def test_hostile_tars_in_a_tar_are_refused_by_name_and_nothing_comes_out(tmp_path, names, says):
    empty = tar(tmp_path / "empty", {}).read_bytes()
    made = tar(tmp_path / "some.tar", {}, extra=[(member(name, size=len(empty)), empty) for name in names])
    with pytest.raises(DataError, match=says) as error:
        unpack(made, tmp_path / "out", "train", Bounds(1_000_000, 50), nested=True)
    assert "some.tar" in str(error.value) and not list((tmp_path / "out").iterdir())


def test_words_of_a_member_take_no_memory_before_they_are_refused(tmp_path):
    path, _ = _endless_words(tmp_path / "a.tgz", size=50 << 20)
    tracemalloc.start()
    with pytest.raises(DataError):
        unpack(path, tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_long_names_as_archives_have_them_come_out(tmp_path):
    files = {f"{'a' * 120}/{'b' * 120}/c": b"x"}
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=kind) as made:
            made.addfile(member(next(iter(files)), size=1), io.BytesIO(b"x"))
        unpack(tmp_path / "a.tar", tmp_path / f"out{kind}")
        assert content(tmp_path / f"out{kind}") == files


# --------------------------------------------------------------------------------------------------------- interruptions
@pytest.mark.parametrize(("blocked", "says"), [("deep", "is a file"), ("a.txt", "is a folder")])
def test_what_stands_in_the_way_is_named_and_once_moved_the_next_run_completes(tmp_path, blocked, says):
    path, out = tar(tmp_path / "a.tar"), tmp_path / "out"
    out.mkdir()
    (out / blocked).write_text("mine") if blocked == "deep" else (out / blocked).mkdir()
    with pytest.raises(DataError, match=rf"{blocked} {says}, and the archive has a \w+ of this name: move it away"):
        unpack(path, out)
    assert unfinished(path, out).is_dir()
    (out / blocked).rename(tmp_path / "moved")
    unpack(path, out)
    assert content(out) == GOOD and not unfinished(path, out).exists()


@pytest.mark.parametrize(
    ("owner", "step"), [(archives._Guard, "write"), (archives.os, "replace")], ids=["while unpacking", "while moving"]
)
def test_killed_unpacking_does_not_count_and_is_completed_by_the_next(tmp_path, monkeypatch, owner, step):
    path, out = tar(tmp_path / "a.tar"), tmp_path / "out"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            unpack(path, out)
    assert unfinished(path, out).is_dir()
    unpack(path, out)
    assert content(out) == GOOD and not unfinished(path, out).exists()


def test_killed_unpacking_does_not_count_either_once_a_later_one_has_failed(tmp_path, monkeypatch):
    path, out = tar(tmp_path / "a.tar"), tmp_path / "out"
    for owner, step, error in (
        (archives.os, "replace", KeyboardInterrupt()),
        (archives._Guard, "write", OSError(errno.ENOSPC, "No space left on device")),
        (archives._Guard, "write", DataError("refused")),
    ):
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(owner, step, Mock(side_effect=error))
            unpack(path, out)
        assert unfinished(path, out).is_dir()
    unpack(path, out)
    assert content(out) == GOOD and not unfinished(path, out).exists()


def test_a_full_disk_is_named_by_the_folder_that_is_unpacked_into(tmp_path, monkeypatch):
    monkeypatch.setattr(archives._Guard, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space") as error:
        unpack(tar(tmp_path / "a.tar"), tmp_path / "out")
    assert sentence(error.value).startswith(f"the disk of {tmp_path / 'out'} is full")


def test_what_was_there_stays_and_what_the_archive_has_is_replaced(tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "deep/own").write_text("mine")
    (out / "a.txt").write_text("half")
    unpack(zipped(tmp_path / "a.zip"), out)
    assert content(out) == GOOD | {"deep/own": b"mine"}
