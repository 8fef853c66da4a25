-- Queries ask which layouts hold a series.
CREATE INDEX layouts_by_series ON layouts USING gin (series_ids);
