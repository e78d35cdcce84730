"""Checks on what people ask for: an untrusted form becomes a Submission, or a refusal that says what to do."""

from __future__ import annotations

from evaluator.errors import OpenR1Error


class SubmissionRejected(OpenR1Error):
    """The submission cannot become a job: a field is out of bounds, or the same work is already waiting."""

    code = "submission_rejected"
