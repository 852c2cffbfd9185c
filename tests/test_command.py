"""How commands end: with help when they are asked for it, with one sentence when something refuses."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from cribo import command, launch, recipe, replay
from cribo.report import compare, tensorboard
from stages import plan


@pytest.mark.parametrize("module", [replay, compare, tensorboard, plan])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_the_modules_docstring_and_does_nothing_else(module, flag, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", flag])
    with pytest.raises(SystemExit) as end:
        command.run(module.main, "unused", 1)
    assert end.value.code == 0 and capsys.readouterr().out.strip() == module.__doc__.strip()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", [launch, recipe])
def test_help_of_commands_with_words_of_their_own_ends_well(module, capsys):
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0 and capsys.readouterr().out.strip() == module.__doc__.strip()


@pytest.mark.parametrize(("given", "ends"), [([], True), (["a"], False), (["a", "b"], False), (["a", "b", "c"], True)])
def test_another_number_of_arguments_shows_the_usage(given, ends, monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "argv", ["x", *given])
    if ends:
        with pytest.raises(SystemExit, match="usage: how"):
            command.run(lambda *words: heard.append(words), "how", 1, 2)
    else:
        command.run(lambda *words: heard.append(words), "how", 1, 2)
    assert heard == ([] if ends else [tuple(given)])


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_named_and_not_the_temporary_file_in_it(number, tmp_path):
    error = OSError(number, "refused", str(tmp_path / ".scores.json.x3f"))
    said = f"{tmp_path} cannot be written (refused): make it writable, or work in another folder"
    assert command.sentence(error) == said
    assert command.sentence(OSError(number, "refused", str(tmp_path))) == said


def test_a_folder_that_cannot_be_emptied_is_named_whole(tmp_path, monkeypatch):
    (tmp_path / "tables/deep").mkdir(parents=True)
    assert not list(command.emptied(tmp_path / "tables").iterdir()) and (tmp_path / "tables").is_dir()

    def refused(_folder):
        raise OSError(errno.EROFS, "Read-only file system", "deep")

    monkeypatch.setattr(command.shutil, "rmtree", refused)
    with pytest.raises(OSError, match="Read-only") as error:
        command.emptied(tmp_path / "tables")
    assert command.sentence(error.value).startswith(f"{tmp_path / 'tables'} cannot be written (Read-only file system)")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    monkeypatch.setattr(command.os, "access", lambda *_: False)
    said = command.sentence(PermissionError(errno.EACCES, "Permission denied", tmp_path / "a"))
    assert said.startswith(f"{tmp_path / 'a'} cannot be read (Permission denied)")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_where_it_is_known_and_what_to_do_in_any_case(number, tmp_path):
    said = f"the disk of {tmp_path} is full (no room): make room there and give the same command again"
    assert command.sentence(OSError(number, "no room", str(tmp_path / "a"))) == said
    assert command.sentence(OSError(number, "no room", str(tmp_path))) == said
    said = "the disk that is written to is full (no room): make room on it, which may be that of $TMPDIR, and give"
    assert command.sentence(OSError(number, "no room")).startswith(said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_file_that_the_system_cannot_fill_is_a_full_disk():
    with pytest.raises(SystemExit, match=r"^the disk that is written to is full \(No space left"), command.explained():
        Path("/dev/full").write_text("x")


def test_an_error_that_is_a_sentence_already_stays_as_it_is():
    assert command.sentence(FileNotFoundError("x is missing: make it")) == "x is missing: make it"


def test_a_loading_process_that_was_killed_is_a_sentence_and_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(SystemExit, match=r"lower compute.workers.*is killed by signal: Killed"), command.explained():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="shapes"), command.explained():
        raise RuntimeError("shapes do not fit")
