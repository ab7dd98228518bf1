-- What can be found by words: one document a source and kind, and its pieces, which say when. Derived from artifacts,
-- so all of it may be thrown away and taken in again.
CREATE SCHEMA search;

CREATE TABLE search.documents (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text NOT NULL,
  kind text NOT NULL,
  recipe_hash text NOT NULL,
  config regconfig NOT NULL,
  words tsvector NOT NULL,
  UNIQUE (source, kind)
);
-- Without a pending list: whoever searches would have to look through it.
CREATE INDEX documents_words ON search.documents USING gin (words) WITH (fastupdate = off);

CREATE TABLE search.pieces (
  document bigint NOT NULL REFERENCES search.documents ON DELETE CASCADE,
  position integer NOT NULL,
  start_ms bigint,
  text text NOT NULL,
  PRIMARY KEY (document, position)
);

-- Which release of a source was taken in.
CREATE TABLE search.sources (
  source text PRIMARY KEY,
  recipe_hash text NOT NULL
);
