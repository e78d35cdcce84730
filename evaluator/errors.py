"""Every error that the evaluator raises on purpose.

Each message says what happened, which value, what was expected and what to do; it is the one line that the command
line prints.
"""


class OpenR1Error(Exception):
    """Base of every error that a person can act on. Its text is the whole message."""

    code = "failed"


class UnknownBenchmark(OpenR1Error):
    """A benchmark name that is not one of ours."""

    code = "unknown_benchmark"


class DatasetUnavailable(OpenR1Error):
    """The benchmark's dataset could not be read from the mirror or the Hub."""

    code = "dataset_unavailable"


class DatasetChanged(OpenR1Error):
    """The dataset does not have the rows or columns that this benchmark version was written for."""

    code = "dataset_changed"


class CheckpointRejected(OpenR1Error):
    """The checkpoint cannot be evaluated: files missing, not readable, or out of bounds."""

    code = "checkpoint_rejected"


class PlanRejected(OpenR1Error):
    """What was asked for cannot run: context too short, heads not divisible, GPUs too small."""

    code = "plan_rejected"


class EngineFailed(OpenR1Error):
    """The engine did not start, died, or answers errors only. Carries its last log lines."""

    code = "engine_failed"

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail


class EngineOverLimit(EngineFailed):
    """The engine took more memory or time than it may and was ended. It is not started again."""

    code = "engine_over_limit"


class EngineRefused(OpenR1Error):
    """The engine answered 401 or 403: a person must fix the token."""

    code = "engine_refused"


class JournalUnusable(OpenR1Error):
    """The journal is not ours, is of a newer version, or cannot be written (disk full, read-only)."""

    code = "journal_unusable"


class JournalBusy(JournalUnusable):
    """Another run is writing this plan's answers: wait until it ends, or end it."""

    code = "journal_busy"


class IncompleteMeasurement(OpenR1Error):
    """An attempt is missing or ungraded, so there is no score. Never published."""

    code = "incomplete_measurement"


class Cancelled(OpenR1Error):
    """The run was cancelled. What was answered stays in the journal."""

    code = "cancelled"


class CompletionsRejected(OpenR1Error):
    """A row of a completions file cannot be graded: unreadable, of the wrong shape, or without a target."""

    code = "completions_rejected"


class GraderUnavailable(OpenR1Error):
    """No grading process can be started here, so nothing can be graded."""

    code = "grader_unavailable"
