-- The fleet: agents, their keys, and the people's tokens.

CREATE TABLE agents (
    id           int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- what every other table refers to
    name         text NOT NULL UNIQUE,                          -- the agent id on the wire
    hostname     text NOT NULL DEFAULT '',
    labels       jsonb NOT NULL DEFAULT '{}',
    version      text NOT NULL DEFAULT '',
    os           text NOT NULL DEFAULT '',
    arch         text NOT NULL DEFAULT '',
    platform     text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    disabled_at  timestamptz
) WITH (fillfactor = 70); -- last_seen_at changes often: leave room for updates in place

CREATE TABLE agent_keys (
    agent_id      int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    key_id        text NOT NULL,
    secret        bytea NOT NULL,          -- sealed under a master key, never in clear
    master_key_id text NOT NULL,
    state         text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'revoked')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,             -- end of the grace time of a retiring key
    PRIMARY KEY (agent_id, key_id)
);

CREATE TABLE api_tokens (
    id           int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    hash         bytea NOT NULL UNIQUE,    -- of the token; the token itself is shown once and kept nowhere
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz
);
