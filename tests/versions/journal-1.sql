BEGIN TRANSACTION;
CREATE TABLE answers (
    generation_key TEXT NOT NULL, problem_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    seed INTEGER NOT NULL, text TEXT NOT NULL, reasoning TEXT, finish_reason TEXT,
    completion_tokens INTEGER, prompt_tokens INTEGER, latency_s REAL NOT NULL, retries INTEGER NOT NULL,
    PRIMARY KEY (generation_key, problem_id, attempt)
) STRICT;
INSERT INTO "answers" VALUES('ffffffffffffffff','p0',0,1,'the answer is 4',NULL,'stop',5,3,0.5,0);
CREATE TABLE engines (
    generation_key TEXT NOT NULL, facts TEXT NOT NULL,
    PRIMARY KEY (generation_key, facts)
) STRICT;
INSERT INTO "engines" VALUES('ffffffffffffffff','{"device": null, "dtype": null, "engine": "vLLM", "max_model_len": null, "quantization": null, "tensor_parallel_size": null, "version": "0.31.0"}');
CREATE TABLE refusals (
    generation_key TEXT NOT NULL, problem_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    code TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (generation_key, problem_id, attempt)
) STRICT;
INSERT INTO "refusals" VALUES('ffffffffffffffff','p1',0,'refused','too long');
COMMIT;