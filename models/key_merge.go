package models

import (
	"cmp"
	"context"
	"slices"

	"github.com/claviger/claviger/models/requestlog"
)

// mergeJob merges runs into one, step by step. Requests that are kept no longer are left out, and counts are folded to the
// slots of their age.
type mergeJob struct {
	rows     *sqliteRequests
	sources  []keyRun
	out      *runWriter
	kind     int // of the blocks that are being merged: requests first, then counts
	cursors  []*runCursor
	keepFrom requestlog.ID // requests before it are kept no longer
	now      int64         // minute
	sums     []keyCount
}

// nextMerge chooses what to merge; nil where nothing is to be done. No project keeps requests from before keepFrom.
func nextMerge(runs []keyRun, keepFrom requestlog.ID, now int64) []keyRun {
	byLevel := map[int64][]keyRun{}
	for _, r := range runs {
		byLevel[r.level] = append(byLevel[r.level], r)
	}
	for _, level := range byLevel {
		if len(level) > limits.runsPerLevel {
			return level
		}
	}
	for _, r := range runs {
		if r.requests && r.lastID < keepFrom || !r.folded && foldable(r, now) {
			return []keyRun{r} // alone: it gets smaller
		}
	}
	return nil
}

// foldable tells whether no count of the run is young enough for a slot of its own.
func foldable(r keyRun, now int64) bool {
	return r.folded || r.lastID.Minute() <= now-requestlog.SlotLifetime
}

func (q *sqliteRequests) startMerge(ctx context.Context, sources []keyRun, keepFrom requestlog.ID, now int64) (*mergeJob, error) {
	level := sources[0].level
	if len(sources) > 1 {
		level++
	}
	out, err := newRun(ctx, q.writer, level)
	if err != nil {
		return nil, err
	}
	out.run.folded = !slices.ContainsFunc(sources, func(r keyRun) bool { return !foldable(r, now) })
	j := &mergeJob{rows: q, sources: sources, out: out, keepFrom: keepFrom, now: now}
	j.open(blockOfRequests)
	return j, nil
}

func (j *mergeJob) open(kind int) {
	j.kind, j.cursors = kind, nil
	for _, r := range j.sources {
		j.cursors = append(j.cursors, &runCursor{rows: j.rows, run: r.id, kind: kind, firstKey: -1 << 63})
	}
}

// step goes on until blocks for one transaction are written, and tells whether the merge is finished.
func (j *mergeJob) step(ctx context.Context) (done bool, err error) {
	for len(j.out.ready) < limits.blocksPerStep {
		c, err := j.smallest(ctx)
		switch {
		case err != nil:
			return false, err
		case c == nil && j.kind == blockOfRequests:
			j.open(blockOfCounts)
		case c == nil:
			j.endSums()
			return true, j.finish(ctx)
		case j.kind == blockOfRequests:
			if e := c.entries[0]; e.id >= j.keepFrom {
				j.out.entry(e)
			}
			c.entries = c.entries[1:]
		default:
			if err := j.addCount(c.counts[0]); err != nil {
				return false, err
			}
			c.counts = c.counts[1:]
		}
	}
	return false, j.out.store(ctx, true)
}

func (j *mergeJob) finish(ctx context.Context) error {
	return j.out.finish(ctx, func(tx *writeTx) error {
		for _, r := range j.sources {
			if err := tx.exec("UPDATE key_runs SET state = 'dead' WHERE id = ?", r.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// addCount folds a count to its slot. Counts come in the order of key, time and outcome, and slots keep the order of time.
func (j *mergeJob) addCount(c keyCount) error {
	slot, total := requestlog.SlotOf(c.slot, j.now)
	if total {
		if o, err := j.rows.outcomes.of(c.outcome); err != nil || o.code != requestlog.CodeValid {
			return err
		}
	}
	c.slot = slot
	if len(j.sums) > 0 && (j.sums[0].key != c.key || j.sums[0].slot != c.slot) {
		j.endSums()
	}
	j.sums = addCount(j.sums, c)
	return nil
}

func (j *mergeJob) endSums() {
	slices.SortFunc(j.sums, func(a, b keyCount) int { return cmp.Compare(a.outcome, b.outcome) })
	for _, c := range j.sums {
		j.out.count(c)
	}
	j.sums = j.sums[:0]
}

// smallest is the cursor whose next record comes first; nil when all are at their end.
func (j *mergeJob) smallest(ctx context.Context) (first *runCursor, err error) {
	for _, c := range j.cursors {
		if more, err := c.fill(ctx); err != nil {
			return nil, err
		} else if more && (first == nil || c.before(first)) {
			first = c
		}
	}
	return first, nil
}

// runCursor goes through the records of a run in their order.
type runCursor struct {
	rows                  *sqliteRequests
	run                   int64
	kind                  int
	firstKey, firstAt, id int64 // of the last block that was read
	entries               []keyEntry
	counts                []keyCount
	ended                 bool
}

func (c *runCursor) before(other *runCursor) bool {
	if c.kind == blockOfRequests {
		return compareEntries(c.entries[0], other.entries[0]) < 0
	}
	a, b := c.counts[0], other.counts[0]
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.slot, b.slot), cmp.Compare(a.outcome, b.outcome)) < 0
}

// fill reads the next blocks where all records were taken; false at the end.
func (c *runCursor) fill(ctx context.Context) (bool, error) {
	if len(c.entries) > 0 || len(c.counts) > 0 {
		return true, nil
	}
	if c.ended {
		return false, nil
	}
	rows, err := c.rows.reading.QueryContext(ctx, "SELECT id, first_key, first_at, data FROM key_blocks WHERE run_id = ? AND kind = ? "+
		"AND (first_key, first_at, id) > (?, ?, ?) ORDER BY first_key, first_at, id LIMIT 16", c.run, c.kind, c.firstKey, c.firstAt, c.id)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	c.ended = true
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&c.id, &c.firstKey, &c.firstAt, &data); err != nil {
			return false, err
		}
		c.ended = false
		if c.kind == blockOfRequests {
			entries, err := decodeEntries(data)
			if err != nil {
				return false, err
			}
			c.entries = append(c.entries, entries...)
			continue
		}
		counts, err := decodeCounts(data)
		if err != nil {
			return false, err
		}
		c.counts = append(c.counts, counts...)
	}
	return !c.ended, rows.Err()
}
