"""What the person at the console sees."""

import io
import threading

import pytest

from app.embedded.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_says_which_part_wrote_it():
    out = io.StringIO()

    Console(out).log("web", "listening")
    Console(out).log("postgres", "ready")

    assert out.getvalue() == "web      | listening\npostgres | ready\n"


def test_a_step_ends_with_a_check_mark_and_its_seconds():
    out = io.StringIO()

    with Console(out).step("Starting", "") as step:
        step.done = "Database 18.4"

    assert out.getvalue().startswith("  ✓ Database 18.4 (0.")


def test_a_step_that_fails_is_crossed_out():
    out = io.StringIO()

    with pytest.raises(ValueError, match="no"), Console(out).step("Starting", "Started"):
        raise ValueError("no")

    assert out.getvalue() == "  ✗ Starting\n"


def test_a_terminal_gets_colors_and_no_color_takes_them_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored, plain = Terminal(), Terminal()

    Console(colored).log("web", "listening")
    monkeypatch.setenv("NO_COLOR", "1")
    Console(plain).log("web", "listening")

    assert colored.getvalue() == "\033[36mweb      |\033[0m listening\n"
    assert plain.getvalue() == "web      | listening\n"


def test_what_is_under_way_stays_the_last_line_of_a_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    console = Console(out)

    with console.step("Starting labs", "Labs"):
        console.log("hub", "starting")
        while_under_way = out.getvalue()

    assert while_under_way.endswith("\r\033[2Khub      | starting\n  … Starting labs")
    assert "✓ Labs" in out.getvalue().splitlines()[-1]


def test_lines_of_many_threads_stay_whole():
    out = io.StringIO()
    console = Console(out)

    def write(part: str) -> None:
        for _ in range(200):
            console.log(part, part * 20)

    writers = [threading.Thread(target=write, args=(part,)) for part in ("a", "b", "c", "d")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert set(out.getvalue().splitlines()) == {f"{part:<8} | {part * 20}" for part in "abcd"}


def test_a_reader_who_went_away_is_noticed_and_does_no_harm():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(Gone())
    console.say("anybody there?")

    assert console.is_closed


def test_a_terminal_without_check_marks_gets_a_stand_in():
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding="ascii"))

    with console.step("Starting", "Labs"):
        pass

    assert raw.getvalue().startswith(b"  ? Labs")
