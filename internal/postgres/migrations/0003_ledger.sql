-- The ledger: what of every (agent, epoch) is settled. It changes only in the
-- transaction that stores the samples, so it can never disagree with them.

CREATE TABLE ingest_ledger (
    agent_id       int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    epoch          int8 NOT NULL,
    received       int8multirange NOT NULL DEFAULT '{}', -- settled sequence numbers
    appended       int8 NOT NULL DEFAULT 0,  -- the highest sequence number known to exist
    -- How each settled number was settled; these add up to the size of received.
    stored_cycles  int8 NOT NULL DEFAULT 0,
    stored_reports int8 NOT NULL DEFAULT 0,  -- records that declare losses
    quarantined    int8 NOT NULL DEFAULT 0,
    lost_bytes     int8 NOT NULL DEFAULT 0,
    lost_age       int8 NOT NULL DEFAULT 0,
    lost_disk_full int8 NOT NULL DEFAULT 0,
    lost_damaged   int8 NOT NULL DEFAULT 0,
    lost_rejected  int8 NOT NULL DEFAULT 0,
    stored_samples int8 NOT NULL DEFAULT 0,
    -- Of the highest settled records, to notice one number with two contents:
    -- pairs of number and digest, each 8 bytes, big-endian, ascending.
    digests        bytea NOT NULL DEFAULT '',
    forked_at      timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, epoch)
) WITH (fillfactor = 40); -- every commit updates its rows: leave room for it in place

CREATE TABLE dead_letters (
    id          int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id    int8 REFERENCES agents ON DELETE CASCADE, -- NULL: an orphan, charged to no ledger
    agent_name  text NOT NULL,
    epoch       int8 NOT NULL,
    seq         int8 NOT NULL,
    count       int8 NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    envelope    bytea NOT NULL,            -- the exact bytes
    received_at timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letters_of_agent ON dead_letters (agent_id, id);
