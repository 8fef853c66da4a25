-- What happened in the fleet, for people: not needed for anything else, and kept
-- for as long as people look back. Numbers become visible in their order.
CREATE TABLE events (
    id     int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    kind   text NOT NULL,
    agent  text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX events_of_agent ON events (agent, id);
CREATE INDEX events_at ON events USING brin (at);
