-- The first schema. Times are microseconds since 1970; 0 is "not yet". Names avoid words that other databases reserve.

CREATE TABLE meta (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BYTEA  NOT NULL
);
-- The highest id ever given out of nouns whose rows may go (ids are never reused).
CREATE TABLE high (
    noun TEXT   NOT NULL PRIMARY KEY,
    id   BIGINT NOT NULL
);
-- One row: bytes kept of what the quota counts, and the newest number of fact_delta.
CREATE TABLE tally (
    id      INTEGER NOT NULL PRIMARY KEY,
    output  BIGINT  NOT NULL,
    events  BIGINT  NOT NULL,
    history BIGINT  NOT NULL,
    delta   BIGINT  NOT NULL
);
INSERT INTO tally (id, output, events, history, delta) VALUES (1, 0, 0, 0, 0);

CREATE TABLE host (
    id             INTEGER NOT NULL PRIMARY KEY,
    uuid           TEXT    NOT NULL,
    state          INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    fingerprint    BYTEA   NOT NULL,
    dialect        TEXT    NOT NULL,
    -- What the host says of itself. Columns, not a document: all hosts are read at every start.
    hostname       TEXT    NOT NULL,
    machine_id     TEXT    NOT NULL,
    os             TEXT    NOT NULL,
    kernel         TEXT    NOT NULL,
    arch           TEXT    NOT NULL,
    agent_version  TEXT    NOT NULL,
    addresses      TEXT    NOT NULL, -- one a line
    claimed_json   TEXT    NOT NULL, -- labels it asks for, an object of strings
    cpu_cores      BIGINT  NOT NULL,
    memory_bytes   BIGINT  NOT NULL,
    disk_bytes     BIGINT  NOT NULL,
    labels_json    TEXT    NOT NULL,
    csr_pem        TEXT    NOT NULL,
    created_at     BIGINT  NOT NULL,
    decided_at     BIGINT  NOT NULL,
    decided_by     TEXT    NOT NULL,
    cert_serial    TEXT    NOT NULL,
    cert_not_after BIGINT  NOT NULL,
    token_id       BIGINT  NOT NULL,
    clone_note     TEXT    NOT NULL
);
CREATE UNIQUE INDEX host_name ON host (name);
CREATE UNIQUE INDEX host_fingerprint ON host (fingerprint);
CREATE UNIQUE INDEX host_uuid ON host (uuid);

-- Rows of seen and fact_head that are committed but not yet in their tables; the last word counts. See lazy.h.
CREATE TABLE lazy (
    id   INTEGER NOT NULL PRIMARY KEY,
    data BYTEA   NOT NULL
);

-- Apart from host: small, and written thousands of times a second.
CREATE TABLE seen (
    host_id     INTEGER NOT NULL PRIMARY KEY,
    spool_epoch BIGINT  NOT NULL,
    acked_seq   BIGINT  NOT NULL,
    last_seen   BIGINT  NOT NULL
);

CREATE TABLE install_token (
    id           INTEGER NOT NULL PRIMARY KEY,
    code_hash    BYTEA   NOT NULL,
    max_uses     BIGINT  NOT NULL,
    n_uses       BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    is_revoked   INTEGER NOT NULL,
    auto_approve INTEGER NOT NULL,
    labels_json  TEXT    NOT NULL,
    created_by   TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL
);

-- Inventory: docs/decisions/0003-facts-as-base-plus-deltas.md
CREATE TABLE fact_head (
    host_id     BIGINT  NOT NULL,
    section     TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    message     TEXT    NOT NULL,
    digest      BYTEA   NOT NULL,
    taken_at    BIGINT  NOT NULL,
    received_at BIGINT  NOT NULL,
    n_rows      BIGINT  NOT NULL,
    n_unfolded  INTEGER NOT NULL,
    last_id     BIGINT  NOT NULL, -- newest fact_delta of this section, 0: none; the chain starts here
    PRIMARY KEY (host_id, section)
) WITHOUT ROWID;
CREATE TABLE fact_body (
    host_id   BIGINT NOT NULL,
    section   TEXT   NOT NULL,
    folded_id BIGINT NOT NULL,
    body      BYTEA  NOT NULL
);
CREATE UNIQUE INDEX fact_body_key ON fact_body (host_id, section);
-- Appended only. No index by section: a chain from fact_head.last_id through prev_id, which ends where retention has been, saves
-- every check-in a random page.
CREATE TABLE fact_delta (
    id      INTEGER NOT NULL PRIMARY KEY,
    prev_id BIGINT  NOT NULL,
    host_id BIGINT  NOT NULL,
    section TEXT    NOT NULL,
    at      BIGINT  NOT NULL,
    delta   BYTEA   NOT NULL
);

CREATE TABLE job (
    id               INTEGER NOT NULL PRIMARY KEY,
    principal        TEXT    NOT NULL,
    created_at       BIGINT  NOT NULL,
    deadline         BIGINT  NOT NULL,
    finished_at      BIGINT  NOT NULL,
    spec_json        TEXT    NOT NULL,
    idem_key         TEXT    NOT NULL,
    idem_hash        BYTEA   NOT NULL,
    cancel_requested INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    n_total          INTEGER NOT NULL,
    n_queued         INTEGER NOT NULL,
    n_offered        INTEGER NOT NULL,
    n_accepted       INTEGER NOT NULL,
    n_running        INTEGER NOT NULL,
    n_succeeded      INTEGER NOT NULL,
    n_failed         INTEGER NOT NULL,
    n_cancelled      INTEGER NOT NULL,
    n_expired        INTEGER NOT NULL,
    n_lost           INTEGER NOT NULL,
    has_output       INTEGER NOT NULL
);
CREATE UNIQUE INDEX job_idem ON job (principal, idem_key) WHERE idem_key <> '';
CREATE INDEX job_open ON job (id) WHERE finished_at = 0;
CREATE INDEX job_output ON job (id) WHERE finished_at > 0 AND has_output = 1;
-- What is typed into the commands: apart from job, which is read often, and gone when the job is finished.
CREATE TABLE job_input (
    job_id INTEGER NOT NULL PRIMARY KEY,
    data   BYTEA   NOT NULL
);

CREATE TABLE task (
    id               INTEGER NOT NULL PRIMARY KEY,
    job_id           BIGINT  NOT NULL,
    host_id          BIGINT  NOT NULL,
    host_name        TEXT    NOT NULL,
    state            INTEGER NOT NULL,
    outcome          INTEGER NOT NULL,
    exit_code        INTEGER NOT NULL,
    signal           INTEGER NOT NULL,
    created_at       BIGINT  NOT NULL,
    offered_at       BIGINT  NOT NULL,
    started_at       BIGINT  NOT NULL,
    finished_at      BIGINT  NOT NULL,
    stdout_bytes     BIGINT  NOT NULL,
    stderr_bytes     BIGINT  NOT NULL,
    stdout_total     BIGINT  NOT NULL,
    stderr_total     BIGINT  NOT NULL,
    stdout_truncated INTEGER NOT NULL,
    stderr_truncated INTEGER NOT NULL,
    message          TEXT    NOT NULL
);
CREATE INDEX task_job ON task (job_id, id);

CREATE TABLE task_output (
    id      INTEGER NOT NULL PRIMARY KEY,
    task_id BIGINT  NOT NULL,
    stream  INTEGER NOT NULL,
    at      BIGINT  NOT NULL, -- offset in the stream
    data    BYTEA   NOT NULL
);
CREATE UNIQUE INDEX task_output_key ON task_output (task_id, stream, at);

CREATE TABLE event (
    id           INTEGER NOT NULL PRIMARY KEY,
    at           BIGINT  NOT NULL,
    type         TEXT    NOT NULL,
    host_uuid    TEXT    NOT NULL,
    host_name    TEXT    NOT NULL,
    details_json TEXT    NOT NULL
);
CREATE INDEX event_host ON event (host_uuid, id) WHERE host_uuid <> '';

CREATE TABLE audit (
    id           INTEGER NOT NULL PRIMARY KEY,
    at           BIGINT  NOT NULL,
    principal    TEXT    NOT NULL,
    peer         TEXT    NOT NULL,
    verb         TEXT    NOT NULL,
    target       TEXT    NOT NULL,
    outcome      TEXT    NOT NULL,
    slug         TEXT    NOT NULL,
    details_json TEXT    NOT NULL,
    prev         BYTEA   NOT NULL,
    hash         BYTEA   NOT NULL
);

CREATE TABLE account (
    id            INTEGER NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    role          INTEGER NOT NULL,
    is_disabled   INTEGER NOT NULL,
    created_at    BIGINT  NOT NULL
);
CREATE UNIQUE INDEX account_name ON account (name);

CREATE TABLE api_token (
    id         INTEGER NOT NULL PRIMARY KEY,
    user_id    BIGINT  NOT NULL,
    hash       BYTEA   NOT NULL,
    name       TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    last_used  BIGINT  NOT NULL,
    is_revoked INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    hint       TEXT    NOT NULL
);
CREATE UNIQUE INDEX api_token_hash ON api_token (hash);
