-- The governor of what is scarce outside: one row a dependency, under a lock while anything about it is decided.
-- Every function takes the time as its last argument; null means the database's own clock.
CREATE SCHEMA gateway;
CREATE SEQUENCE gateway.fences;

CREATE TABLE gateway.dependencies (
  name text PRIMARY KEY,
  -- what is configured
  requests_a_minute double precision,
  request_burst double precision NOT NULL,
  tokens_a_minute double precision,
  token_burst double precision NOT NULL,
  least_at_once double precision NOT NULL,
  most_at_once double precision NOT NULL,
  follows text NOT NULL CHECK (follows IN ('refusals', 'latency')),
  shares double precision[] NOT NULL,
  queue_bound integer NOT NULL,
  -- the buckets as they were at `filled_at`
  requests double precision NOT NULL,
  tokens double precision NOT NULL,
  filled_at timestamptz NOT NULL,
  -- the adaptive limit
  at_once double precision NOT NULL,
  at_once_reason text NOT NULL,
  at_once_since timestamptz NOT NULL,
  epoch_fence bigint NOT NULL DEFAULT 0,
  epoch_at_once double precision NOT NULL,
  epoch_refused integer NOT NULL DEFAULT 0,
  epoch_well integer NOT NULL DEFAULT 0,
  calm_epochs integer NOT NULL DEFAULT 0,
  service_s double precision,
  pace double precision,
  best_pace double precision,
  drained_at timestamptz,
  is_draining boolean NOT NULL DEFAULT false,
  -- the breaker
  breaker text NOT NULL DEFAULT 'closed' CHECK (breaker IN ('closed', 'open', 'half_open')),
  breaker_reason text NOT NULL DEFAULT '',
  breaker_since timestamptz NOT NULL,
  probe_at timestamptz,
  probes_well integer NOT NULL DEFAULT 0,
  failed_in_a_row integer NOT NULL DEFAULT 0,
  trips integer NOT NULL DEFAULT 0,
  held_until timestamptz
) WITH (fillfactor = 20);

CREATE TABLE gateway.permits (
  dependency text NOT NULL,
  fence bigint NOT NULL,
  class integer NOT NULL,
  holder text NOT NULL,
  tokens double precision NOT NULL,
  is_probe boolean NOT NULL,
  taken_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (dependency, fence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE gateway.tickets (
  dependency text NOT NULL,
  id bigint NOT NULL DEFAULT nextval('gateway.fences'),
  class integer NOT NULL,
  requests integer NOT NULL,
  tokens double precision NOT NULL,
  since timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (dependency, class, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What happened, in slots of ten seconds: the sliding windows of the retry budget and of the breaker.
CREATE TABLE gateway.slots (
  dependency text NOT NULL,
  slot bigint NOT NULL,
  firsts integer NOT NULL DEFAULT 0,
  retries integer NOT NULL DEFAULT 0,
  well integer NOT NULL DEFAULT 0,
  refused integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  tokens double precision NOT NULL DEFAULT 0,
  PRIMARY KEY (dependency, slot)
) WITH (fillfactor = 50);

CREATE FUNCTION gateway.slot_of(p_now timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT floor(extract(epoch FROM p_now) / 10)::bigint $$;

-- Whoever decides about a dependency is alone until its transaction ends. Those who wait are served in their order and
-- woken once; on the lock of a row they are woken twice, which doubled the slowest hundredth.
CREATE FUNCTION gateway.lock(p_dependency text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('dependency ' || p_dependency, 0))
$$;

-- What a bucket holds now that held `p_level` at `p_at`.
CREATE FUNCTION gateway.filled(
  p_level double precision, p_a_minute double precision, p_burst double precision, p_at timestamptz, p_now timestamptz
) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
  SELECT least(p_burst, p_level + coalesce(p_a_minute, 0) / 60 * greatest(0, extract(epoch FROM p_now - p_at)))
$$;

CREATE FUNCTION gateway.acquire(
  p_dependency text, p_class integer, p_requests integer, p_tokens double precision, p_holder text,
  p_lease_s double precision, p_deadline_s double precision, p_is_retry boolean, p_ticket bigint, p_now timestamptz,
  OUT outcome text, OUT fence bigint, OUT wait_s double precision, OUT look_s double precision, OUT ticket bigint,
  OUT reason text
) LANGUAGE plpgsql AS $$
DECLARE
  d gateway.dependencies%ROWTYPE;
  now_ timestamptz;
  share double precision;
  most integer;
  live integer;
  live_low integer;
  probes integer;
  expired integer;
  waiting integer;
  ahead integer;
  ahead_requests double precision;
  ahead_tokens double precision;
  have double precision;
  need double precision;
  firsts_ integer;
  retries_ integer;
  turn_s double precision;
  expected_s double precision;
BEGIN
  PERFORM gateway.lock(p_dependency);
  SELECT * INTO d FROM gateway.dependencies WHERE name = p_dependency;
  IF NOT FOUND THEN RAISE EXCEPTION 'no dependency %', p_dependency; END IF;
  now_ := coalesce(p_now, clock_timestamp());
  share := d.shares[p_class + 1];
  d.requests := gateway.filled(d.requests, d.requests_a_minute, d.request_burst, d.filled_at, now_);
  d.tokens := gateway.filled(d.tokens, d.tokens_a_minute, d.token_burst, d.filled_at, now_);
  wait_s := 0;
  look_s := 0;
  ticket := p_ticket;

  IF d.tokens_a_minute IS NOT NULL AND p_tokens > d.token_burst THEN
    outcome := 'never';
    reason := format('a call of up to %s tokens never fits a limit with bursts of %s', ceil(p_tokens), floor(d.token_burst));
    DELETE FROM gateway.tickets t WHERE t.dependency = p_dependency AND t.class = p_class AND t.id = p_ticket;
    RETURN;
  END IF;

  SELECT count(*) FILTER (WHERE p.expires_at > now_), count(*) FILTER (WHERE p.expires_at > now_ AND p.class >= p_class),
      count(*) FILTER (WHERE p.expires_at > now_ AND p.is_probe), count(*) FILTER (WHERE p.expires_at <= now_)
    INTO live, live_low, probes, expired
    FROM gateway.permits p WHERE p.dependency = p_dependency;
  SELECT count(*),
      count(*) FILTER (WHERE t.is_ahead),
      coalesce(sum(t.requests) FILTER (WHERE t.is_ahead), 0),
      coalesce(sum(t.tokens) FILTER (WHERE t.is_ahead), 0)
    INTO waiting, ahead, ahead_requests, ahead_tokens
    FROM (
      SELECT q.requests, q.tokens, q.class < p_class
          OR q.class = p_class AND q.id < coalesce(p_ticket, 9223372036854775807) AS is_ahead
        FROM gateway.tickets q WHERE q.dependency = p_dependency AND q.expires_at > now_
    ) t;

  -- The breaker: while it is open nobody gets through, while it is half open one probe at a time does.
  IF d.breaker = 'open' AND now_ < d.probe_at THEN
    wait_s := extract(epoch FROM d.probe_at - now_);
    reason := d.breaker_reason;
  ELSIF d.breaker <> 'closed' AND probes + ahead > 0 THEN
    wait_s := 0.5;
    reason := 'a probe is under way: ' || d.breaker_reason;
  END IF;
  IF d.held_until > now_ THEN
    wait_s := greatest(wait_s, extract(epoch FROM d.held_until - now_));
    reason := coalesce(reason, 'the provider asked to wait');
  END IF;

  -- The retry budget: a tenth of the first tries of the last minute, and one in half a minute, so that a lone call
  -- is not stuck.
  IF p_is_retry THEN
    SELECT coalesce(sum(s.firsts), 0), coalesce(sum(s.retries), 0) INTO firsts_, retries_
      FROM gateway.slots s WHERE s.dependency = p_dependency AND s.slot > gateway.slot_of(now_) - 6;
    IF retries_ + 1 > firsts_ * 0.1 AND EXISTS (
      SELECT 1 FROM gateway.slots s
      WHERE s.dependency = p_dependency AND s.slot > gateway.slot_of(now_) - 3 AND s.retries > 0
    ) THEN
      wait_s := greatest(wait_s, 10 - extract(epoch FROM now_)::numeric % 10);
      reason := coalesce(reason, 'a tenth of all calls are tries again already');
    END IF;
  END IF;

  look_s := wait_s;

  -- Places: those ahead are reckoned as if they had theirs, so that nobody is overtaken and no place stays empty.
  most := CASE d.breaker WHEN 'closed' THEN floor(d.at_once)::integer ELSE 1 END;
  turn_s := greatest(coalesce(d.service_s, 0.1) / greatest(most, 1), 0.001);
  IF d.breaker <> 'closed' THEN
    live := probes;  -- what was begun before it opened may hang for long
    live_low := probes;
  END IF;
  IF live + ahead + 1 > most OR live_low + ahead + 1 > greatest(1, round(most * share)) THEN
    wait_s := greatest(wait_s, least(greatest(turn_s * (ahead + 1) / 2, 0.01), 1));
    reason := coalesce(reason, format('%s calls at once are under way', live));
  END IF;
  IF d.requests_a_minute IS NOT NULL THEN
    -- A call of more requests than a burst holds takes what it holds, and the rest is owed by those who come after.
    need := least(d.request_burst, ahead_requests + p_requests + (1 - share) * d.request_burst);
    IF d.requests < need THEN
      wait_s := greatest(wait_s, (need - d.requests) / (d.requests_a_minute / 60));
      reason := coalesce(reason, 'the limit of requests a minute is used up');
    END IF;
  END IF;
  IF d.tokens_a_minute IS NOT NULL THEN
    need := least(d.token_burst, ahead_tokens + p_tokens + (1 - share) * d.token_burst);
    IF d.tokens < need THEN
      wait_s := greatest(wait_s, (need - d.tokens) / (d.tokens_a_minute / 60));
      reason := coalesce(reason, 'the limit of tokens a minute is used up');
    END IF;
  END IF;

  expected_s := CASE WHEN wait_s > 0 THEN greatest(wait_s, turn_s * ahead) ELSE 0 END + coalesce(d.service_s, 0);
  IF expected_s > p_deadline_s THEN
    outcome := 'late';
    wait_s := greatest(wait_s, turn_s * ahead);
    reason := coalesce(reason, 'a call takes longer than there is time');
    DELETE FROM gateway.tickets t WHERE t.dependency = p_dependency AND t.class = p_class AND t.id = p_ticket;
    RETURN;
  END IF;

  IF wait_s > 0 THEN
    -- For a place or a bucket the wait is an upper bound: what calls reserved and did not use comes back. Whoever is
    -- first looks often, the others in their turn.
    look_s := greatest(look_s, least(wait_s, 0.02 * (ahead + 1), 1));
    IF p_ticket IS NULL AND waiting >= d.queue_bound THEN
      outcome := 'shed';
      wait_s := greatest(wait_s, turn_s * waiting);
      reason := format('%s calls are waiting already', waiting);
      RETURN;
    END IF;
    outcome := 'wait';
    IF p_ticket IS NOT NULL THEN
      UPDATE gateway.tickets t SET expires_at = now_ + make_interval(secs => 2 * look_s + 2)
        WHERE t.dependency = p_dependency AND t.class = p_class AND t.id = p_ticket;
      IF FOUND THEN RETURN; END IF;
    END IF;
    DELETE FROM gateway.tickets t WHERE t.dependency = p_dependency AND t.expires_at <= now_;
    INSERT INTO gateway.tickets (dependency, class, requests, tokens, since, expires_at)
      VALUES (p_dependency, p_class, p_requests, p_tokens, now_, now_ + make_interval(secs => 2 * look_s + 2))
      RETURNING id INTO ticket;
    RETURN;
  END IF;

  outcome := 'granted';
  IF p_ticket IS NOT NULL THEN
    DELETE FROM gateway.tickets t WHERE t.dependency = p_dependency AND t.class = p_class AND t.id = p_ticket;
    ticket := NULL;
  END IF;
  IF expired > 0 THEN
    DELETE FROM gateway.permits p WHERE p.dependency = p_dependency AND p.expires_at <= now_;
  END IF;
  INSERT INTO gateway.permits AS p (dependency, fence, class, holder, tokens, is_probe, taken_at, expires_at)
    VALUES (p_dependency, nextval('gateway.fences'), p_class, p_holder, p_tokens, d.breaker <> 'closed', now_,
      now_ + make_interval(secs => p_lease_s))
    RETURNING p.fence INTO fence;
  UPDATE gateway.dependencies SET
      requests = d.requests - CASE WHEN d.requests_a_minute IS NULL THEN 0 ELSE p_requests END,
      tokens = d.tokens - CASE WHEN d.tokens_a_minute IS NULL THEN 0 ELSE p_tokens END,
      filled_at = now_,
      breaker = CASE WHEN d.breaker = 'open' THEN 'half_open' ELSE d.breaker END,
      breaker_since = CASE WHEN d.breaker = 'open' THEN now_ ELSE d.breaker_since END,
      probes_well = CASE WHEN d.breaker = 'open' THEN 0 ELSE d.probes_well END
    WHERE name = p_dependency;
  INSERT INTO gateway.slots AS s (dependency, slot, firsts, retries)
    VALUES (p_dependency, gateway.slot_of(now_), (NOT p_is_retry)::integer, p_is_retry::integer)
    ON CONFLICT (dependency, slot) DO UPDATE
    SET firsts = s.firsts + excluded.firsts, retries = s.retries + excluded.retries;
  IF fence % 1000 = 0 THEN
    DELETE FROM gateway.slots s WHERE s.dependency = p_dependency AND s.slot < gateway.slot_of(now_) - 360;
  END IF;
END $$;

CREATE FUNCTION gateway.renew(p_dependency text, p_fence bigint, p_lease_s double precision, p_now timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE now_ timestamptz;
BEGIN
  PERFORM gateway.lock(p_dependency);
  now_ := coalesce(p_now, clock_timestamp());
  UPDATE gateway.permits p SET expires_at = now_ + make_interval(secs => p_lease_s)
    WHERE p.dependency = p_dependency AND p.fence = p_fence AND p.expires_at > now_;
  RETURN FOUND;
END $$;

CREATE FUNCTION gateway.leave(p_dependency text, p_class integer, p_ticket bigint) RETURNS void
LANGUAGE sql AS $$
  DELETE FROM gateway.tickets WHERE dependency = p_dependency AND class = p_class AND id = p_ticket
$$;

-- `p_outcome`: well, refused (by a limit of theirs), failed (theirs), faulty (ours: it says nothing of their health).
CREATE FUNCTION gateway.release(
  p_dependency text, p_fence bigint, p_outcome text, p_tokens double precision, p_took_s double precision,
  p_size double precision, p_retry_after_s double precision, p_now timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  d gateway.dependencies%ROWTYPE;
  p gateway.permits%ROWTYPE;
  now_ timestamptz;
  live integer;
  step double precision;
  slope double precision;
  failed_ integer;
  all_ integer;
BEGIN
  PERFORM gateway.lock(p_dependency);
  SELECT * INTO d FROM gateway.dependencies WHERE name = p_dependency;
  IF NOT FOUND THEN RAISE EXCEPTION 'no dependency %', p_dependency; END IF;
  now_ := coalesce(p_now, clock_timestamp());
  DELETE FROM gateway.permits q WHERE q.dependency = p_dependency AND q.fence = p_fence RETURNING * INTO p;
  IF NOT FOUND THEN RETURN false; END IF;
  SELECT count(*) INTO live FROM gateway.permits q WHERE q.dependency = p_dependency AND q.expires_at > now_;

  -- What was reserved and not used goes back; a call without an answer may have used all of it.
  d.requests := gateway.filled(d.requests, d.requests_a_minute, d.request_burst, d.filled_at, now_);
  d.tokens := gateway.filled(
    d.tokens + CASE WHEN d.tokens_a_minute IS NULL OR p_tokens IS NULL THEN 0 ELSE p.tokens - p_tokens END,
    d.tokens_a_minute, d.token_burst, d.filled_at, now_);
  d.filled_at := now_;

  INSERT INTO gateway.slots AS s (dependency, slot, well, refused, failed, tokens)
    VALUES (p_dependency, gateway.slot_of(now_), (p_outcome = 'well')::integer, (p_outcome = 'refused')::integer,
      (p_outcome = 'failed')::integer, coalesce(p_tokens, 0))
    ON CONFLICT (dependency, slot) DO UPDATE SET well = s.well + excluded.well, refused = s.refused + excluded.refused,
      failed = s.failed + excluded.failed, tokens = s.tokens + excluded.tokens;

  IF p_outcome = 'well' THEN
    d.service_s := coalesce(d.service_s + 0.1 * (p_took_s - d.service_s), p_took_s);
    IF p_size > 0 THEN
      d.pace := coalesce(d.pace + 0.1 * (p_took_s / p_size - d.pace), p_took_s / p_size);
      d.best_pace := least(coalesce(d.best_pace, d.pace), d.pace);
    END IF;
    IF p_fence > d.epoch_fence AND (live + 1) * 2 >= floor(d.at_once) THEN
      d.epoch_well := d.epoch_well + 1;
      IF d.follows = 'refusals' THEN
        -- One more an epoch, two more in the next, and so on until something is refused: slow near the limit,
        -- quick where it was left far behind.
        d.at_once := least(d.most_at_once, d.at_once + (1 + d.calm_epochs) / d.at_once);
        d.at_once_reason := 'nothing was refused';
      END IF;
      IF d.epoch_well >= d.at_once THEN
        IF d.follows = 'latency' THEN
          -- Now and then half of the calls go out for an epoch: without a queue of our own making is seen how quick a
          -- call can be. The best before is forgotten by a tenth then, and at once where we hardly call: a model that
          -- became slower for good is not suspected for ever.
          IF d.is_draining THEN
            d.is_draining := false;
            d.drained_at := now_;
            d.best_pace := least(d.best_pace * 1.1, d.pace);
            IF d.pace <= 1.5 * d.best_pace THEN d.at_once := d.epoch_at_once; END IF;
          ELSIF now_ - coalesce(d.drained_at, d.at_once_since) > interval '30 seconds' THEN
            d.is_draining := true;
            d.epoch_at_once := d.at_once;
            d.at_once := greatest(d.least_at_once, d.at_once / 2);
            d.at_once_reason := 'for a moment half, to see how quick a call can be';
            SELECT coalesce(max(q.fence), p_fence) INTO d.epoch_fence FROM gateway.permits q
              WHERE q.dependency = p_dependency;
          ELSE
            IF d.at_once <= d.least_at_once THEN d.best_pace := d.pace; END IF;
            slope := greatest(0.5, least(1, 1.5 * d.best_pace / d.pace));
            d.at_once := greatest(d.least_at_once, least(d.most_at_once,
              0.5 * d.at_once + 0.5 * (d.at_once * slope + CASE WHEN slope < 1 THEN 0 ELSE 2 + d.calm_epochs END)));
            d.at_once_reason := format('calls take %s times the best', round((d.pace / d.best_pace)::numeric, 1));
            IF slope < 1 THEN d.calm_epochs := -1; END IF;
          END IF;
          d.drained_at := coalesce(d.drained_at, now_);
        END IF;
        d.calm_epochs := d.calm_epochs + 1;
        d.epoch_well := 0;
        d.at_once_since := now_;
      END IF;
    END IF;
  ELSIF p_outcome = 'refused' OR p_outcome = 'failed' THEN
    IF p_retry_after_s IS NOT NULL THEN
      d.held_until := greatest(coalesce(d.held_until, now_), now_ + make_interval(secs => p_retry_after_s));
    END IF;
    -- What was refused of the calls under way did not fit. Those taken before the limit fell belong to the same fall.
    IF p_fence > d.epoch_fence THEN
      d.epoch_at_once := d.at_once;
      d.epoch_refused := 0;
      SELECT coalesce(max(q.fence), p_fence) INTO d.epoch_fence FROM gateway.permits q WHERE q.dependency = p_dependency;
      d.epoch_fence := greatest(d.epoch_fence, p_fence);
      d.at_once_since := now_;
    END IF;
    d.epoch_refused := d.epoch_refused + 1;
    d.epoch_well := 0;
    d.calm_epochs := 0;
    d.at_once := greatest(d.least_at_once, d.epoch_at_once / 8,
      least(d.at_once, 0.9 * d.epoch_at_once, d.epoch_at_once - d.epoch_refused));
    d.at_once_reason := format('%s of %s calls under way were refused or failed', d.epoch_refused, ceil(d.epoch_at_once));
  END IF;

  -- The breaker: eight failures with nothing between them, or half of the calls of the last half minute. The first is
  -- quick where many calls went well a moment ago, the second sees a provider that fails now and then.
  d.failed_in_a_row := CASE p_outcome WHEN 'failed' THEN d.failed_in_a_row + 1 WHEN 'faulty' THEN d.failed_in_a_row
    ELSE 0 END;
  IF p_outcome = 'failed' THEN
    SELECT coalesce(sum(s.failed), 0), coalesce(sum(s.failed + s.well + s.refused), 0) INTO failed_, all_
      FROM gateway.slots s WHERE s.dependency = p_dependency AND s.slot > gateway.slot_of(now_) - 3;
    IF p.is_probe AND d.breaker = 'half_open'
        OR d.breaker = 'closed' AND (failed_ >= 5 AND failed_ * 2 >= all_ OR d.failed_in_a_row >= 8) THEN
      d.trips := d.trips + 1;
      d.breaker := 'open';
      d.breaker_since := now_;
      d.breaker_reason := CASE WHEN d.failed_in_a_row >= 5 THEN format('the last %s calls failed', d.failed_in_a_row)
        ELSE format('%s of the last %s calls failed', failed_, all_) END;
      d.probe_at := now_ + make_interval(secs => least(60, 5 * 2.0 ^ least(d.trips - 1, 10)) * (0.8 + 0.4 * random()));
    END IF;
  ELSIF p.is_probe AND d.breaker = 'half_open' AND p_outcome = 'well' THEN
    d.probes_well := d.probes_well + 1;
    IF d.probes_well >= 3 THEN
      -- Those who waited do not come back all at once: places from the least on, buckets from nothing on.
      d.breaker := 'closed';
      d.breaker_since := now_;
      d.breaker_reason := '';
      d.trips := 0;
      d.at_once := d.least_at_once;
      d.at_once_reason := 'it has just come back';
      d.at_once_since := now_;
      d.calm_epochs := 1;
      d.is_draining := false;
      d.epoch_well := 0;
      d.epoch_fence := p_fence;
      d.requests := least(d.requests, 1);
      d.tokens := 0;
    END IF;
  END IF;

  UPDATE gateway.dependencies SET requests = d.requests, tokens = d.tokens, filled_at = d.filled_at,
      at_once = d.at_once, at_once_reason = d.at_once_reason, at_once_since = d.at_once_since,
      epoch_fence = d.epoch_fence, epoch_at_once = d.epoch_at_once, epoch_refused = d.epoch_refused,
      epoch_well = d.epoch_well, calm_epochs = d.calm_epochs, service_s = d.service_s, pace = d.pace,
      best_pace = d.best_pace, drained_at = d.drained_at, is_draining = d.is_draining, breaker = d.breaker, breaker_reason = d.breaker_reason,
      breaker_since = d.breaker_since, probe_at = d.probe_at, probes_well = d.probes_well, trips = d.trips,
      failed_in_a_row = d.failed_in_a_row,
      held_until = d.held_until
    WHERE name = p_dependency;
  RETURN true;
END $$;

-- Every try of every call that left the house, or was about to: what it used and what came of it. Only added to.
CREATE TABLE gateway.calls (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  key text NOT NULL,
  try integer NOT NULL,
  recipe_hash text NOT NULL,
  task text NOT NULL,
  release text NOT NULL,
  dependency text NOT NULL,
  source text,
  asset text,
  run_id text,
  correlation text,
  outcome text NOT NULL,
  cause text,
  request_id text,
  tokens_in double precision,
  tokens_out double precision,
  waited_s double precision NOT NULL,
  took_s double precision NOT NULL,
  cost_usd double precision NOT NULL
);
CREATE INDEX calls_source ON gateway.calls (source, seq);
CREATE INDEX calls_at ON gateway.calls (at);
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.calls
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- Answers that turned out to say nothing, and who found so: the same question is asked once more under another recipe.
-- A reader that was mended is another one, and gets what was answered first.
CREATE TABLE gateway.rejected (
  recipe_hash text NOT NULL,
  reader text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  cause text NOT NULL,
  PRIMARY KEY (recipe_hash, reader)
);

-- Money: what was spent of each budget in each period, and what calls under way may still spend of it.
CREATE TABLE gateway.spent (
  scope text NOT NULL,
  period text NOT NULL,
  usd double precision NOT NULL,
  PRIMARY KEY (scope, period)
);
CREATE TABLE gateway.reserved (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  scope text NOT NULL,
  period text NOT NULL,
  usd double precision NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX reserved_scope ON gateway.reserved (scope, period);

-- Reserves in every budget or in none: the ids, or null with the first budget that has too little left.
CREATE FUNCTION gateway.reserve(
  p_scopes text[], p_periods text[], p_limits double precision[], p_usd double precision, p_lease_s double precision,
  p_now timestamptz, OUT ids bigint[], OUT short_scope text, OUT left_usd double precision
) LANGUAGE plpgsql AS $$
DECLARE now_ timestamptz := coalesce(p_now, clock_timestamp()); i integer; made bigint;
BEGIN
  FOR i IN 1 .. coalesce(cardinality(p_scopes), 0) LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('budget ' || p_scopes[i], 0));
    WITH gone AS (
      DELETE FROM gateway.reserved r WHERE r.scope = p_scopes[i] AND r.expires_at <= now_ RETURNING r.period, r.usd
    )
    INSERT INTO gateway.spent AS s (scope, period, usd)
      SELECT p_scopes[i], g.period, sum(g.usd) FROM gone g GROUP BY g.period
      ON CONFLICT (scope, period) DO UPDATE SET usd = s.usd + excluded.usd;
    SELECT p_limits[i] - coalesce((SELECT s.usd FROM gateway.spent s WHERE s.scope = p_scopes[i]
        AND s.period = p_periods[i]), 0) - coalesce(sum(r.usd), 0) INTO left_usd
      FROM gateway.reserved r WHERE r.scope = p_scopes[i] AND r.period = p_periods[i];
    IF left_usd < p_usd THEN
      short_scope := p_scopes[i];
      ids := NULL;
      RETURN;
    END IF;
  END LOOP;
  ids := '{}';
  FOR i IN 1 .. coalesce(cardinality(p_scopes), 0) LOOP
    INSERT INTO gateway.reserved (scope, period, usd, expires_at)
      VALUES (p_scopes[i], p_periods[i], p_usd, now_ + make_interval(secs => p_lease_s)) RETURNING id INTO made;
    ids := ids || made;
  END LOOP;
END $$;

-- What a call did cost is booked also where its reservation has expired meanwhile.
CREATE FUNCTION gateway.settle(p_ids bigint[], p_scopes text[], p_periods text[], p_usd double precision)
RETURNS void LANGUAGE sql AS $$
  DELETE FROM gateway.reserved WHERE id = ANY(p_ids);
  INSERT INTO gateway.spent AS s (scope, period, usd)
    SELECT b.scope, b.period, p_usd FROM unnest(p_scopes, p_periods) AS b(scope, period) WHERE p_usd > 0
    ON CONFLICT (scope, period) DO UPDATE SET usd = s.usd + excluded.usd
$$;
