"""How far it is, told at a terminal and nowhere else."""

import io

from proxy.audit.progress import CLEAR, EVERY_LINES, Progress


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self):
        """Say so."""
        return True


def test_a_terminal_is_told_now_and_then(tmp_path):
    """Not of every line, and the line is left empty at the end."""
    path = tmp_path / "traffic.jsonl"
    path.write_bytes(b"x" * 100)
    stream = Terminal()
    progress = Progress(stream)
    with path.open("rb") as file:
        file.read(50)
        progress.step(path, file, 1)
        before = stream.getvalue()
        progress.step(path, file, EVERY_LINES)
    progress.end()

    assert before == ""
    assert stream.getvalue() == f"{CLEAR}'traffic.jsonl': line {EVERY_LINES} 50%{CLEAR}"


def test_a_file_is_told_nothing(tmp_path):
    """Nor is a closed standard error."""
    stream = io.StringIO()
    with (tmp_path / "x").open("wb+") as file:
        for progress in (Progress(stream), Progress(None)):
            progress.step(tmp_path / "x", file, EVERY_LINES)
            progress.end()

    assert stream.getvalue() == ""
