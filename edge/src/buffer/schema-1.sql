-- The gateway's ledger. One writer; WAL with synchronous=FULL: a COMMIT that returned survives a power cut.

CREATE TABLE IF NOT EXISTS meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A start of the gateway on this database.
CREATE TABLE IF NOT EXISTS epoch (
    id      INTEGER PRIMARY KEY,
    counter INTEGER NOT NULL,
    nonce   INTEGER NOT NULL,
    UNIQUE (counter, nonce)
) STRICT;

-- Definitions of columns, by their number within the epoch.
CREATE TABLE IF NOT EXISTS column_def (
    epoch  INTEGER NOT NULL REFERENCES epoch,
    number INTEGER NOT NULL,
    def    BLOB NOT NULL,
    PRIMARY KEY (epoch, number)
) STRICT, WITHOUT ROWID;

-- Counters of a stream, moved in the transaction that moves the samples:
--   produced = open + buffered + acknowledged + dropped (all in samples)
-- where open is what the journal holds and buffered what unacknowledged blocks hold.
CREATE TABLE IF NOT EXISTS stream (
    epoch        INTEGER NOT NULL REFERENCES epoch,
    stream       INTEGER NOT NULL,
    next_seq     INTEGER NOT NULL DEFAULT 0,
    produced     INTEGER NOT NULL DEFAULT 0,
    open         INTEGER NOT NULL DEFAULT 0,
    buffered     INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    dropped      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch, stream)
) STRICT, WITHOUT ROWID;

-- Samples that are durable but not sealed yet.
CREATE TABLE IF NOT EXISTS journal (
    id      INTEGER PRIMARY KEY,
    epoch   INTEGER NOT NULL REFERENCES epoch,
    stream  INTEGER NOT NULL,
    boot    INTEGER NOT NULL,
    offset  INTEGER,
    samples INTEGER NOT NULL,
    bytes   BLOB NOT NULL
) STRICT;

-- Sealed blocks. state: 0 to be sent, 1 acknowledged (kept until room is needed), 2 refused by the cloud.
CREATE TABLE IF NOT EXISTS block (
    id       INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL REFERENCES epoch,
    stream   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    state    INTEGER NOT NULL DEFAULT 0,
    samples  INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    UNIQUE (epoch, stream, seq)
) STRICT;
CREATE INDEX IF NOT EXISTS block_by_state ON block (state, priority, id);

-- The bytes of a block, apart from it, so that a change of state does not write them again.
CREATE TABLE IF NOT EXISTS payload (
    block INTEGER PRIMARY KEY REFERENCES block,
    bytes BLOB NOT NULL
) STRICT;
