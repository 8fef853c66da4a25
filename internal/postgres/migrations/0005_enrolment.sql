-- Enrolment: a token buys identities until it expires, is used up or revoked.
CREATE TABLE enrolment_tokens (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    hash       bytea NOT NULL UNIQUE,      -- of the token; the token itself is shown once and kept nowhere
    hostnames  text NOT NULL DEFAULT '',   -- a pattern that the host's name must match; empty: any
    labels     jsonb NOT NULL DEFAULT '{}',-- what its agents get
    max_uses   int4 NOT NULL CHECK (max_uses > 0),
    uses       int4 NOT NULL DEFAULT 0 CHECK (uses BETWEEN 0 AND max_uses),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- What was bought: the same request gets the same identity again.
CREATE TABLE enrolments (
    nonce      bytea PRIMARY KEY,
    token_id   int8 NOT NULL REFERENCES enrolment_tokens ON DELETE CASCADE,
    agent_id   int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    key_id     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX enrolments_by_agent ON enrolments (agent_id);
CREATE INDEX enrolments_by_token ON enrolments (token_id);

-- An agent has one key that it signs with, and at most one that waits for its proof.
ALTER TABLE agent_keys ADD activated_at timestamptz;
UPDATE agent_keys SET activated_at = created_at WHERE state <> 'pending';
CREATE UNIQUE INDEX agent_keys_active ON agent_keys (agent_id) WHERE state = 'active';
CREATE UNIQUE INDEX agent_keys_pending ON agent_keys (agent_id) WHERE state = 'pending';
