"""What `tickplant export --output` may name besides a file."""

import os
import stat
from pathlib import Path

from tickplant.cli.export_files import open_output


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer need not wait
    with open_output(pipe) as output:
        output.write(b"rows")
    assert os.read(reader, 100) == b"rows"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [*tmp_path.iterdir()] == [pipe]


def test_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "files" / "file", tmp_path / "link"
    file.parent.mkdir()
    link.symlink_to(file)
    for content in (b"first", b"second"):
        with open_output(link) as output:
            output.write(content)
        assert link.is_symlink()
        assert file.read_bytes() == content
    assert [*file.parent.iterdir()] == [file]
