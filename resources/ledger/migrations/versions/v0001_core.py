"""The ledger's core: the record that is only added to, what is derived from it, what is worth nothing tomorrow.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE ledger.arrivals (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    id TEXT NOT NULL,
    source TEXT,
    location TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    version TEXT,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    content TEXT,
    job TEXT,
    title TEXT,
    language TEXT,
    tags JSONB NOT NULL,
    options JSONB NOT NULL,
    priority INTEGER NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (seq)
);
CREATE UNIQUE INDEX arrivals_id ON ledger.arrivals (id);
CREATE INDEX arrivals_location ON ledger.arrivals (location, seen_at);
CREATE INDEX arrivals_source ON ledger.arrivals (source, seen_at);

CREATE TABLE ledger.sources (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    key TEXT NOT NULL,
    location TEXT NOT NULL,
    content TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    job TEXT NOT NULL,
    arrival_id TEXT NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX sources_content ON ledger.sources (content);
CREATE UNIQUE INDEX sources_key ON ledger.sources (key);
CREATE INDEX sources_location ON ledger.sources (location);

CREATE TABLE ledger.transitions (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    source TEXT NOT NULL,
    asset TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    actor TEXT NOT NULL,
    cause TEXT,
    run_id TEXT,
    recipe_hash TEXT,
    data_version TEXT,
    uri TEXT,
    wake_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (seq)
);
CREATE INDEX transitions_source ON ledger.transitions (source, asset, seq);

CREATE TABLE ledger.decisions (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    kind TEXT NOT NULL,
    source TEXT,
    asset TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload JSONB NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX decisions_source ON ledger.decisions (source, seq);

CREATE TABLE ledger.attempts (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    source TEXT NOT NULL,
    asset TEXT NOT NULL,
    unit TEXT,
    recipe_hash TEXT NOT NULL,
    run_id TEXT,
    call_id TEXT,
    correlation TEXT,
    PRIMARY KEY (seq)
);
CREATE INDEX attempts_call ON ledger.attempts (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX attempts_recipe ON ledger.attempts (recipe_hash);
CREATE INDEX attempts_run ON ledger.attempts (run_id);
CREATE INDEX attempts_source ON ledger.attempts (source);

CREATE TABLE ledger.attempt_ends (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    attempt BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    cause TEXT,
    wall_s DOUBLE PRECISION NOT NULL,
    cpu_s DOUBLE PRECISION NOT NULL,
    peak_memory_bytes BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    encoder_calls INTEGER NOT NULL,
    media_s DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (seq)
);
CREATE UNIQUE INDEX attempt_ends_attempt ON ledger.attempt_ends (attempt);

CREATE TABLE ledger.settings_seen (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    name TEXT NOT NULL,
    value JSONB NOT NULL,
    PRIMARY KEY (seq)
);
CREATE INDEX settings_seen_name ON ledger.settings_seen (name, seq);

CREATE TABLE ledger.run_requests (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    source TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    job TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (seq)
);
CREATE UNIQUE INDEX run_requests_key ON ledger.run_requests (source, generation, attempt);

CREATE TABLE ledger.asset_states (
    source TEXT NOT NULL,
    asset TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT,
    run_id TEXT,
    recipe_hash TEXT,
    data_version TEXT,
    uri TEXT,
    wake_at TIMESTAMP WITH TIME ZONE,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (source, asset)
);
CREATE INDEX asset_states_moving ON ledger.asset_states (source)
    WHERE state IN ('registered', 'queued', 'running', 'waiting');

CREATE TABLE ledger.source_heads (
    location TEXT NOT NULL,
    source TEXT NOT NULL,
    generation INTEGER NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    arrival_id TEXT NOT NULL,
    PRIMARY KEY (location)
);

CREATE TABLE ledger.known_files (
    location TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    source TEXT,
    PRIMARY KEY (location)
);

CREATE TABLE ledger.controls (
    source TEXT NOT NULL,
    stop TEXT,
    priority INTEGER,
    PRIMARY KEY (source)
);

CREATE TABLE ledger.progress (
    source TEXT NOT NULL,
    asset TEXT NOT NULL,
    done_s DOUBLE PRECISION NOT NULL,
    total_s DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (source, asset)
);

CREATE TABLE ledger.leases (
    key TEXT NOT NULL,
    fence BIGINT NOT NULL,
    holder TEXT NOT NULL,
    note TEXT,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (key)
);
"""

RECORD = (
    "arrivals",
    "sources",
    "transitions",
    "decisions",
    "attempts",
    "attempt_ends",
    "settings_seen",
    "run_requests",
)

GUARD = """
CREATE SEQUENCE ledger.fences AS bigint;

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger''s % is only ever added to: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GUARD)
    for name in RECORD:
        # For each statement, not each row: it costs nothing where nothing is changed.
        op.execute(
            f"CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()"
        )
        op.execute(f"ALTER TABLE ledger.{name} ENABLE ALWAYS TRIGGER only_added_to")


def downgrade() -> None:
    raise NotImplementedError("the record is not thrown away; restore a backup instead")
