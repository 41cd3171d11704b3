-- Retention looks for the job that ended first, each minute.
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at > 0;
