"""Where jobs run: this machine, Hugging Face Jobs, a Ray cluster. One contract: `backend_jobs/launchers/types.py`."""
