"""What is advised about a file that cannot be written."""

import errno

import pytest

from proxy.disk import find_fix


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "make room on its disk"),
        (errno.ENOENT, "create its directory, writable by the proxy's user"),
        (errno.EACCES, "let the proxy's user write to it and to its directory"),
        (errno.EPERM, "let it belong to the proxy's user (chown), or move it aside"),
        (errno.EROFS, "mount its file system for writing"),
    ],
)
def test_the_fix_is_that_of_the_error(number, fix):
    """To make room does not help where a directory is missing."""
    assert find_fix(number) == fix


@pytest.mark.parametrize("number", [None, errno.EBADF])
def test_any_other_error_has_a_fix_too(number):
    """The least that can be said."""
    assert find_fix(number).endswith("look at the disk")
