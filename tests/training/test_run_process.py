from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

from training.log_book.run_process import RunProcess, this_process


def test_the_tag_of_this_process_says_that_it_lives() -> None:
    process = RunProcess.of_text(this_process().text())
    assert process is not None
    assert process == this_process()
    assert process.is_alive() is True


def test_a_process_that_ended_is_dead_and_so_is_one_whose_number_was_given_away() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert replace(this_process(), number=ended.pid).is_alive() is False
    assert replace(this_process(), started="1").is_alive() is False


def test_a_process_that_nobody_has_waited_for_counts_as_dead() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert replace(this_process(), number=child).is_alive() is False
    finally:
        os.waitpid(child, 0)


def test_what_another_machine_or_container_runs_cannot_be_known_but_a_restart_ends_everything() -> None:
    here = this_process()
    assert replace(here, boot="0.1", machine="other").is_alive() is None
    assert replace(here, boot=here.boot.partition(".")[0] + ".other", machine="m").is_alive() is None
    known = replace(here, machine="unknown")
    assert replace(known, boot="0.1").is_alive() is None
    if here.machine != "unknown":
        assert replace(here, boot="0.1").is_alive() is False


def test_no_name_of_machine_or_person_is_told_and_other_tags_are_none() -> None:
    text = this_process().text()
    assert socket.gethostname() not in text
    assert RunProcess.of_text("") is None
    assert RunProcess.of_text("a:b:c:d") is None
