-- Alerting: what people have written, and what came of it.

-- A number that moves with every change of what follows. Workers ask for it every
-- second, and pass what has changed on to each other.
CREATE TABLE alert_version (
    one     bool PRIMARY KEY DEFAULT true CHECK (one),
    version int8 NOT NULL DEFAULT 1,
    -- The starter pack was installed, or somebody has made rules before: never again.
    started bool NOT NULL DEFAULT false
);
INSERT INTO alert_version DEFAULT VALUES;

CREATE FUNCTION note_alert_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE alert_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE SEQUENCE alert_rule_version; -- every text of a rule ever has a number of its own

CREATE TABLE alert_rules (
    grp        text NOT NULL,
    name       text NOT NULL,
    yaml       text NOT NULL,              -- the rule as it stands in a file, without its group
    version    int8 NOT NULL DEFAULT nextval('alert_rule_version'),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (grp, name)
);
CREATE TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION note_alert_change();

-- What rules were before.
CREATE TABLE alert_rule_versions (
    version    int8 PRIMARY KEY,
    grp        text NOT NULL,
    name       text NOT NULL,
    yaml       text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
CREATE INDEX alert_rule_versions_of ON alert_rule_versions (grp, name, version);

-- The notification file: it holds secrets, so it is sealed under a master key.
CREATE TABLE notification_config (
    one           bool PRIMARY KEY DEFAULT true CHECK (one),
    sealed        bytea NOT NULL,
    master_key_id text NOT NULL,
    version       int8 NOT NULL DEFAULT 1,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    changed_by    text NOT NULL
);
CREATE TRIGGER notification_config_changed AFTER INSERT OR UPDATE OR DELETE ON notification_config
    FOR EACH STATEMENT EXECUTE FUNCTION note_alert_change();

CREATE TABLE silences (
    id        text PRIMARY KEY,
    body      jsonb NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL
);
CREATE INDEX silences_by_end ON silences (ends_at);
CREATE TRIGGER silences_changed AFTER INSERT OR UPDATE OR DELETE ON silences
    FOR EACH STATEMENT EXECUTE FUNCTION note_alert_change();

-- How each incident stands. The stream ALERTS is ahead of it; where that is lost, it
-- is made from this.
CREATE TABLE incidents (
    fingerprint text PRIMARY KEY,
    n           int8 NOT NULL,             -- orders the changes of one incident
    agent       text NOT NULL,
    hostname    text NOT NULL,
    rule        text NOT NULL,
    alertname   text NOT NULL,
    severity    text NOT NULL,
    state       text NOT NULL,
    was         text NOT NULL,
    reason      text NOT NULL,
    over        bool NOT NULL,             -- nothing is left of it
    starts_at   timestamptz,
    fired_at    timestamptz,
    ends_at     timestamptz,
    changed_at  timestamptz NOT NULL,
    change      jsonb NOT NULL,            -- the last change as the stream had it
    acked_by    text NOT NULL DEFAULT '',  -- of the firing that fired_at names
    acked_at    timestamptz,
    ack_comment text NOT NULL DEFAULT ''
);
CREATE INDEX incidents_open ON incidents (agent) WHERE NOT over;
CREATE INDEX incidents_changed ON incidents (changed_at DESC, fingerprint);

CREATE TABLE incident_changes (
    fingerprint text NOT NULL,
    n           int8 NOT NULL,
    at          timestamptz NOT NULL,      -- event time
    noted_at    timestamptz NOT NULL,      -- the service's clock
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    reason      text NOT NULL,
    change      jsonb NOT NULL,
    PRIMARY KEY (fingerprint, n)
);
CREATE INDEX incident_changes_at ON incident_changes USING brin (noted_at);

-- What was sent to whom, attempt by attempt.
CREATE TABLE deliveries (
    id        int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    channel   text NOT NULL,
    key       text NOT NULL,
    group_key text NOT NULL,
    reason    text NOT NULL,
    alerts    int4 NOT NULL,
    attempt   int4 NOT NULL,
    took_ms   int8 NOT NULL,
    error     text NOT NULL,
    gave_up   bool NOT NULL,
    UNIQUE (key, channel, attempt, at)
);
CREATE INDEX deliveries_at ON deliveries USING brin (at);
