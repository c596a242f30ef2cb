package sqlite

import (
	"context"
	"math"
	"slices"

	"github.com/claviger/claviger/internal/sqldb"
	"github.com/claviger/claviger/models/requestlog"
)

// compaction merges sorted runs into one, step by step. It leaves out entries of requests whose retention has ended,
// and merges counts into the slots of their age.
type compaction struct {
	log      *Log
	sources  []sortedRun
	out      *runWriter
	kind     blockKind // of the blocks that are being merged: entries first, then counts
	cursors  []*runCursor
	keepFrom requestlog.ID // entries before it are left out
	now      int64         // minute
	sums     []keyCount    // of one key and slot
}

// nextCompaction returns the runs to compact next, or nil if there is nothing to do. No project keeps requests with
// smaller ids than keepFrom. now is the present minute.
func (l *Log) nextCompaction(runs []sortedRun, keepFrom requestlog.ID, now int64) []sortedRun {
	byLevel := map[int64][]sortedRun{}
	for _, r := range runs {
		byLevel[r.level] = append(byLevel[r.level], r)
	}
	for _, level := range byLevel {
		if len(level) > l.options.RunsPerLevel {
			return level
		}
	}
	for _, r := range runs {
		if r.hasEntries && r.lastID < keepFrom || !r.folded && foldable(r, now) {
			return []sortedRun{r} // compacted without others, it gets smaller
		}
	}
	return nil
}

// foldable reports whether all counts of the run are so old that only the key's total needs them.
func foldable(r sortedRun, now int64) bool {
	return r.folded || r.lastID.Minute() <= now-requestlog.SlotLifetime
}

func (l *Log) startCompaction(
	ctx context.Context, sources []sortedRun, keepFrom requestlog.ID, now int64,
) (*compaction, error) {
	level := sources[0].level
	if len(sources) > 1 {
		level++
	}
	out, err := l.newRun(ctx, level)
	if err != nil {
		return nil, err
	}
	out.run.folded = !slices.ContainsFunc(sources, func(r sortedRun) bool { return !foldable(r, now) })
	c := &compaction{log: l, sources: sources, out: out, keepFrom: keepFrom, now: now}
	c.open(entryBlock)
	return c, nil
}

func (c *compaction) open(kind blockKind) {
	c.kind, c.cursors = kind, nil
	for _, r := range c.sources {
		c.cursors = append(c.cursors, &runCursor{log: c.log, run: r.id, kind: kind, firstKey: math.MinInt64})
	}
}

// step writes the blocks of one transaction, and reports whether the compaction is finished.
func (c *compaction) step(ctx context.Context) (done bool, err error) {
	for len(c.out.ready) < c.log.options.BlocksPerStep {
		next, err := c.nextCursor(ctx)
		switch {
		case err != nil:
			return false, err
		case next == nil && c.kind == entryBlock:
			c.open(countBlock)
		case next == nil:
			c.endSums()
			return true, c.finish(ctx)
		case c.kind == entryBlock:
			if e := next.entries[0]; e.id >= c.keepFrom {
				c.out.addEntry(e)
			}
			next.entries = next.entries[1:]
		default:
			if err := c.fold(next.counts[0]); err != nil {
				return false, err
			}
			next.counts = next.counts[1:]
		}
	}
	return false, c.out.write(ctx)
}

func (c *compaction) finish(ctx context.Context) error {
	return c.out.finish(ctx, func(tx *sqldb.Tx) error {
		for _, r := range c.sources {
			if err := tx.Exec("UPDATE key_runs SET state = 'dead' WHERE id = ?", r.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// fold adds a count to the count of its slot. It must be called in the order of key, time and outcome, which is also
// the order of the slots.
func (c *compaction) fold(count keyCount) error {
	slot, total := requestlog.SlotOf(count.slot, c.now)
	if total { // the total counts only admitted requests
		if o, err := c.log.outcomes.get(count.outcome); err != nil || o.code != requestlog.CodeValid {
			return err
		}
	}
	count.slot = slot
	if len(c.sums) > 0 && (c.sums[0].key != count.key || c.sums[0].slot != count.slot) {
		c.endSums()
	}
	c.sums = addCount(c.sums, count)
	return nil
}

func (c *compaction) endSums() {
	slices.SortFunc(c.sums, compareCounts)
	for _, sum := range c.sums {
		c.out.addCount(sum)
	}
	c.sums = c.sums[:0]
}

// nextCursor returns the cursor whose next record is the first in order, or nil if all cursors are at their end.
func (c *compaction) nextCursor(ctx context.Context) (first *runCursor, err error) {
	for _, cursor := range c.cursors {
		if more, err := cursor.fill(ctx); err != nil {
			return nil, err
		} else if more && (first == nil || cursor.isBefore(first)) {
			first = cursor
		}
	}
	return first, nil
}

// runCursor reads the records of a run in their order.
type runCursor struct {
	log                   *Log
	run                   int64
	kind                  blockKind
	firstKey, firstAt, id int64 // of the last block that was read
	entries               []entry
	counts                []keyCount
	ended                 bool
}

func (c *runCursor) isBefore(other *runCursor) bool {
	if c.kind == entryBlock {
		return compareEntries(c.entries[0], other.entries[0]) < 0
	}
	return compareCounts(c.counts[0], other.counts[0]) < 0
}

// fill reads the next blocks if all records that were read have been used. It returns false at the end of the run.
func (c *runCursor) fill(ctx context.Context) (bool, error) {
	if len(c.entries) > 0 || len(c.counts) > 0 {
		return true, nil
	}
	if c.ended {
		return false, nil
	}
	rows, err := c.log.read.QueryContext(ctx, `
		SELECT id, first_key, first_at, data FROM key_blocks
		WHERE run_id = ? AND kind = ? AND (first_key, first_at, id) > (?, ?, ?)
		ORDER BY first_key, first_at, id
		LIMIT 16`, c.run, int(c.kind), c.firstKey, c.firstAt, c.id)
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
		if c.kind == entryBlock {
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
