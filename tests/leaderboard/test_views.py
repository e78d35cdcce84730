"""What the pages say, and that no text of a model or a submitter becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.types import Progress
from leaderboard.board import Board
from leaderboard.contracts import LiveState
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Failure, JobKind, Status
from leaderboard.views import board as board_view
from leaderboard.views import queue as queue_view
from leaderboard.views import result as result_view
from leaderboard.views.attempt import reading
from leaderboard.views.markup import Html, duration, external, fill, join, model_name, moment, page_link, visible
from leaderboard.views.problems import problems_section
from leaderboard.views.selection import Selection, Show, neighbours, read_query, read_selection, wanted_problems
from tests.leaderboard.page_content import COMMIT, HOSTILE, OVERRIDE, job, measured, publish

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></details><h1>forged",
    "&lt;script&gt;",
    "javascript:alert(1)",
    f"evil{OVERRIDE}gpj.exe",
]


class Page(HTMLParser):
    """Elements, links and event attributes of a piece of HTML, as a browser would see them."""

    VOID = frozenset({"br", "img", "input", "hr", "meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def links(self) -> list[str]:
        return [value or "" for name, value in self.attributes if name == "href"]


def assert_harmless(text: str) -> Page:
    page = Page(text)
    assert not page.open, f"never closed: {page.open}"
    assert not {"script", "img", "iframe", "style", "object", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(urlsplit(link).scheme in ("", "https") for link in page.links), page.links
    assert OVERRIDE not in text
    return page


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


# Markup


@pytest.mark.parametrize("attack", ATTACKS)
def test_foreign_text_stays_text_wherever_it_is_filled_in(attack: str) -> None:
    page = assert_harmless(fill('<p title="{text}">{text}</p>', text=attack))
    assert page.tags == ["p"]
    assert page.text == visible(attack)


def test_markup_is_not_escaped_twice() -> None:
    inner = fill("<b>{text}</b>", text="<")
    assert fill("<p>{inner}</p>", inner=inner) == "<p><b>&lt;</b></p>"
    assert join([inner, "<"], ", ") == "<b>&lt;</b>, &lt;"


def test_braces_of_foreign_text_are_not_a_template() -> None:
    assert fill("{text}", text="{other} {0} {text.__class__}") == "{other} {0} {text.__class__}"


@given(st.text())
def test_shown_text_can_always_be_sent_and_never_reorders(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x00\x1b") & set(shown)


def test_lines_and_tabs_of_a_completion_survive() -> None:
    assert visible("a\n\tb\r\nc") == "a\n\tb\nc"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://plain.example",
        "https://user@evil.example/",
        "//evil.example",
        "https://e\u202e.example",
    ],
)
def test_only_plain_https_addresses_become_links(url: str) -> None:
    assert "<a" not in external(url, "source")


def test_a_model_is_linked_only_where_name_and_commit_are_the_hubs() -> None:
    assert f"https://huggingface.co/a/b/tree/{COMMIT}" in model_name("a/b", COMMIT)
    for model, commit in [("a/b", None), ("a/b", "sha256:" + "0" * 64), ("a/../b", COMMIT), ("a/b?x=", COMMIT)]:
        assert "<a" not in model_name(model, commit)


def test_values_of_a_link_cannot_become_other_values() -> None:
    link = page_link("result", plan="a&b=c", problem="x y#z", attempt=None)
    assert parse_qs(urlsplit(link).query) == {"plan": ["a&b=c"], "problem": ["x y#z"]}


def test_times_are_written_for_people_and_programs() -> None:
    assert moment("2026-03-02T14:05:10+00:00") == (
        '<time datetime="2026-03-02T14:05:10+00:00">2026-03-02 14:05 UTC</time>'
    )
    assert moment("<b>yesterday") == "&lt;b&gt;yesterday"
    assert [duration(s) for s in (5, 200, 4000, 8000, 200_000)] == [
        "5 s",
        "3 min 20 s",
        "1 h 6 min",
        "2 h 13 min",
        "2 d 7 h",
    ]


# The leaderboard


def test_an_empty_board_says_what_is_running_and_what_to_do() -> None:
    training = job("j1", Status.RUNNING, kind=JobKind.TRAIN, model="local/sft-arithmetic", benchmarks=())
    live = {
        "j1": LiveState(job_id="j1", updated_at="", training={"step": 120, "steps": 600, "loss": 0.83, "eta_s": 200})
    }
    page = assert_harmless(board_view.nothing_yet([training], live))
    assert "step 120 of 600 · loss 0.830 · about 3 min 20 s left" in page.text
    assert {"queue", "submit"} <= set(page.links)


# The queue


def test_waiting_jobs_show_their_position_oldest_first() -> None:
    jobs = [job("j2", Status.PENDING), job("j1", Status.PENDING)]
    text = queue_view.queue_page(jobs, {}, {}, may_act=True)
    assert text.index("queue?job=j1") < text.index("queue?job=j2")
    assert "position 1" in text
    assert "position 2" in text


def test_a_running_evaluation_shows_a_score_marked_provisional() -> None:
    progress = Progress(
        phase="answering", done=1203, total=2000, score=81.2, ci95=(78.4, 83.9), tokens_per_s=11873.2, eta_s=1260
    )
    live = {"j1": LiveState(job_id="j1", updated_at="", progress={"math_500": progress})}
    page = assert_harmless(queue_view.queue_page([job("j1", Status.RUNNING)], live, {}, may_act=True))
    wanted = "1,203 of 2,000 attempts · so far 81.2 (78.4–83.9), provisional · 11,873 tokens/s · about 21 min left"
    assert wanted in page.text


def test_a_training_leads_to_the_page_of_its_run_and_a_generation_to_its_dataset() -> None:
    training = job("j1", Status.RUNNING, kind=JobKind.TRAIN, model="local/sft-arithmetic", benchmarks=())
    told = {"step": 3, "steps": 9, "loss": 0.5, "eta_s": 60, "metrics": {"reward": 0.25}}
    live = {"j1": LiveState(job_id="j1", updated_at="", training=told)}
    page = assert_harmless(queue_view.queue_page([training], live, {}, may_act=False))
    assert "step 3 of 9 · loss 0.500 · reward 0.250 · about 1 min 0 s left" in page.text
    assert "runs?runs=sft-arithmetic" in page.links
    made = {"kind": JobKind.GENERATE, "model": "local/traces", "benchmarks": ()}
    done = queue_view.queue_page([job("j2", Status.FINISHED, **made)], {}, {}, may_act=False)
    assert "datasets?name=traces" in assert_harmless(done).links
    waiting = [job("j1", Status.PENDING, kind=JobKind.TRAIN, model="local/x"), job("j2", Status.RUNNING, **made)]
    links = assert_harmless(queue_view.queue_page(waiting, {}, {}, may_act=False)).links
    assert not any(link.startswith(("runs?", "datasets?")) for link in links)


def test_everything_a_submitter_or_a_log_says_stays_text() -> None:
    hostile = job(
        HOSTILE,
        Status.FAILED,
        model=HOSTILE,
        note=HOSTILE,
        submitted_by=HOSTILE,
        revision=HOSTILE,
        benchmarks=(HOSTILE,),
        worker=HOSTILE,
        started_at=HOSTILE,
        results=(HOSTILE,),
        failure=Failure(code=HOSTILE, reason=HOSTILE, log_tail=HOSTILE),
    )
    live = LiveState(
        job_id="j2",
        updated_at=HOSTILE,
        phase=HOSTILE,
        progress={HOSTILE: Progress(phase=HOSTILE, message=HOSTILE)},
        training={"step": HOSTILE, "loss": HOSTILE},
        log_tail=HOSTILE,
    )
    jobs = [hostile, job("j2", Status.RUNNING, worker=HOSTILE)]
    assert_harmless(queue_view.queue_page(jobs, {"j2": live}, {}, may_act=True, asked=HOSTILE))


def test_only_cancelling_a_running_job_asks_for_confirmation() -> None:
    def asks(status: Status) -> bool:
        return "data-confirm" in queue_view.queue_page([job("j1", status)], {}, {}, may_act=True)

    assert [status for status in Status if asks(status)] == [Status.RUNNING]


def test_who_may_not_act_sees_no_buttons() -> None:
    assert "<button" not in queue_view.queue_page([job("j1", Status.RUNNING)], {}, {}, may_act=False)


def test_a_failed_job_shows_code_reason_and_log() -> None:
    failed = job("j1", Status.FAILED, failure=Failure(code="engine_failed", reason="it died", log_tail="last words"))
    page = Page(queue_view.queue_page([failed], {}, {}, may_act=True))
    assert all(words in page.text for words in ("engine_failed", "it died", "last words", "Try again"))


# A result


def opened(store: SqliteStore, selection: Selection) -> Page:
    board = Board(store)
    attempts = board.attempts(selection.plan_key, selection.problem_id) if selection.problem_id else []
    row = board.row(selection.plan_key)
    section = problems_section(row, board.problems(selection.plan_key), attempts, selection)
    return assert_harmless(section)


def test_a_result_shows_error_bars_verdicts_settings_and_the_command(store: SqliteStore) -> None:
    row = Board(store).row(publish(store, measured()))
    head, making = assert_harmless(result_view.result_head(row)), assert_harmless(result_view.result_making(row))
    assert HOSTILE.split(OVERRIDE)[0] in assert_harmless(result_view.result_head(row, note=HOSTILE)).text
    assert "standard error of drawing another set" in head.text
    assert "standard error of re-sampling the same problems" in head.text
    assert "an answer was found and it differs from the target" in head.text
    assert "temperature" in making.text
    assert "vLLM 0.31.0" in making.text
    assert (
        f"python -m backend_jobs evaluate --model open-r1/OpenR1-Distill-7B --revision {COMMIT} --benchmark math_500 "
        "--attempts 3 --max-tokens 32768 --tensor-parallel-size 2"
    ) in making.text


def test_an_opened_problem_shows_prompt_target_completion_and_verdict_as_text(store: SqliteStore) -> None:
    key = publish(store, measured())
    page = opened(store, Selection(plan_key=key, problem_id="p3", attempt=1))
    assert visible(f"The answer of p3 a1: {HOSTILE}") in page.text
    assert visible(f"What is 3 + 3? {HOSTILE}") in page.text
    assert "incorrect" in page.text
    assert "301" in page.text


def test_a_private_benchmark_shows_hashes_and_verdicts_only(store: SqliteStore) -> None:
    key = publish(store, measured("gpqa_diamond"))
    page = opened(store, Selection(plan_key=key, problem_id="p3", attempt=1))
    assert "What is 3 + 3" not in page.text
    assert "The answer of" not in page.text
    assert "SHA-256 of the prompt" in page.text


def test_a_filter_keeps_the_problems_that_have_such_an_attempt(store: SqliteStore) -> None:
    problems = Board(store).problems(publish(store, measured()))
    assert [row.problem_id for row in wanted_problems(problems, Show.WRONG)] == ["p3", "p4", "p5"]
    assert [row.problem_id for row in wanted_problems(problems, Show.TRUNCATED)] == ["p3", "p4", "p5"]
    assert len(wanted_problems(problems, Show.ALL)) == 6


def test_next_walks_through_all_wrong_attempts_across_problems(store: SqliteStore) -> None:
    key = publish(store, measured())
    board = Board(store)
    at: Selection | None = Selection(plan_key=key, show=Show.WRONG, problem_id="p3")
    seen = []
    while at is not None and at.problem_id is not None:
        chosen = [a for a in board.attempts(key, at.problem_id) if a.verdict != "correct"]
        row = next((a for a in chosen if a.attempt == at.attempt), chosen[0])
        seen.append((row.problem_id, row.attempt))
        at = neighbours(wanted_problems(board.problems(key), Show.WRONG), chosen, row, at)[1]
    assert seen == [(f"p{i}", j) for i in (3, 4, 5) for j in (1, 2)]


def test_a_selection_survives_its_own_address() -> None:
    selection = Selection(plan_key="a" * 16, show=Show.NO_ANSWER, problem_id="test/a&b=1#2.json", attempt=7)
    query = read_query({"query": "?" + urlsplit(selection.link()).query})
    assert read_selection(query) == selection


@pytest.mark.parametrize("sent", [None, 7, {}, {"query": 3}, {"query": "?attempt=9999999999&show=<b>&plan="}])
def test_an_address_that_makes_no_sense_opens_nothing(sent: object) -> None:
    selection = read_selection(read_query(sent))
    assert selection == Selection(plan_key="")


def test_an_unknown_result_says_so_without_obeying_its_name() -> None:
    assert_harmless(result_view.unknown_result(HOSTILE))


@pytest.mark.parametrize(
    ("text", "reasoning", "thought", "rest"),
    [
        ("a thought</think>answer", None, "a thought", "answer"),
        ("<think>\na thought</think>one</think>answer", None, "a thought</think>one", "answer"),
        ("<think>never closed", None, "never closed", ""),
        ("plain answer", None, "", "plain answer"),
        ("answer", "apart", "apart", "answer"),
        ("thought<|end_of_thought|>answer", None, "thought", "answer"),
    ],
)
def test_a_completion_is_split_into_thought_and_rest(text: str, reasoning: str | None, thought: str, rest: str) -> None:
    read = reading(text, reasoning)
    assert ("\n".join(part.text for part in read.thought), read.rest.text) == (thought, rest)


def test_markup_made_by_hand_is_of_its_own_type() -> None:
    assert isinstance(fill("<p></p>"), Html)
