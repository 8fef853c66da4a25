-- The people: users, their sessions, and what everybody has changed.

CREATE TABLE users (
    id            int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (name = lower(name)),
    password      text NOT NULL,           -- Argon2id in PHC form
    role          text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    password_at   timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz,
    disabled_at   timestamptz
);

CREATE TABLE sessions (
    hash       bytea PRIMARY KEY,          -- of the cookie; the cookie itself is nowhere
    user_id    int8 NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz NOT NULL DEFAULT now(), -- true to the minute
    expires_at timestamptz NOT NULL        -- whatever use is made of it
);
CREATE INDEX sessions_of_user ON sessions (user_id);

-- What makes the first administrator, where there is no user yet.
CREATE TABLE setup_tokens (
    hash       bytea PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

ALTER TABLE api_tokens ADD COLUMN created_by text NOT NULL DEFAULT ''; -- as the audit log names its actors

-- Who changed what. Numbers are given under a lock that is held until the commit:
-- they become visible in their order, so that who has read up to one misses none.
CREATE TABLE audit_log (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'token', 'console', 'enrolment', 'nobody')),
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    remote     text NOT NULL DEFAULT '',
    details    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_of_actor ON audit_log (actor, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which numbers of the ledger this letter's quarantine has settled: those become
-- stored where the same bytes turn out to be of use later.
ALTER TABLE dead_letters
    ADD COLUMN charged     int8multirange NOT NULL DEFAULT '{}',
    ADD COLUMN replayed_at timestamptz,    -- handed to the pipeline again
    ADD COLUMN tried_at    timestamptz;    -- found to be of no use again
CREATE INDEX dead_letters_by_name ON dead_letters (agent_id, epoch, seq);

-- How far the agent's clock was ahead of the gateway's at its last report.
ALTER TABLE agents ADD COLUMN clock_ahead_ms int8;
