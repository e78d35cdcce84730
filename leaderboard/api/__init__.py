"""The REST API: what programs read and send. `application.py` puts it together; `docs/api.md` describes it."""
