from __future__ import annotations

import gc

import pytest

from training.commands.quick_commands import without_collection


def test_garbage_is_collected_again_after_a_command_that_failed() -> None:
    @without_collection()
    def command() -> None:
        assert not gc.isenabled()
        raise ZeroDivisionError

    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        command()
    assert gc.isenabled()


def test_what_was_off_before_stays_off() -> None:
    gc.disable()
    try:
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
