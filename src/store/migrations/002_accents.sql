-- What foreign accents keep: docs/decisions/0008-objects-and-trails.md. Kinds are the numbers of store/store.h.

-- Nouns that are few next to hosts and read whole, one document each.
CREATE TABLE object (
    kind   INTEGER NOT NULL,
    id     BIGINT  NOT NULL,
    parent BIGINT  NOT NULL,
    body   TEXT    NOT NULL
);
CREATE UNIQUE INDEX object_key ON object (kind, id);

-- What happened, appended and read by what it belongs to.
CREATE TABLE trail (
    id     INTEGER NOT NULL PRIMARY KEY,
    kind   INTEGER NOT NULL,
    parent BIGINT  NOT NULL,
    at     BIGINT  NOT NULL,
    key    TEXT    NOT NULL,
    body   BYTEA   NOT NULL -- a document; bytes, because the quota counts those
);
CREATE INDEX trail_parent ON trail (kind, parent, id);
CREATE UNIQUE INDEX trail_key ON trail (kind, key) WHERE key <> '';
-- Retention goes by it. What is new comes at its end: one warm page.
CREATE INDEX trail_at ON trail (at);
-- Number 1 is never given out: whoever reads "from behind 1" reads from the start.
INSERT INTO high (noun, id) VALUES ('trail', 1);

ALTER TABLE tally ADD COLUMN trails BIGINT NOT NULL DEFAULT 0;
