//go:build linux

package main

import (
	"math/bits"
	"time"
)

// subBuckets is the number of buckets for each power of two. So a value is known to within 1/64 of itself.
const subBuckets = 64

// histogram counts durations in buckets whose width grows with the value, as HdrHistogram does.
type histogram struct {
	Counts []uint64 // by bucket
	Total  uint64
}

// newHistogram returns a histogram with room for every duration, so that recording never allocates.
func newHistogram() *histogram { return &histogram{Counts: make([]uint64, bucketOf(1<<62)+1)} }

// bucketOf returns the bucket of ns nanoseconds. Below 2*subBuckets each value has its own.
func bucketOf(ns uint64) int {
	shift := max(0, bits.Len64(ns)-bits.Len64(subBuckets))
	return shift*subBuckets + int(ns>>shift)
}

// upperBound returns the largest value of a bucket, in nanoseconds.
func upperBound(bucket int) uint64 {
	shift := max(0, bucket/subBuckets-1)
	return (uint64(bucket-shift*subBuckets)+1)<<shift - 1
}

func (h *histogram) record(d time.Duration) {
	h.Counts[bucketOf(uint64(max(0, d)))]++
	h.Total++
}

// trim removes empty buckets at the end, so that the encoded histogram is small.
func (h *histogram) trim() {
	n := len(h.Counts)
	for n > 0 && h.Counts[n-1] == 0 {
		n--
	}
	h.Counts = h.Counts[:n]
}

// quantile returns the duration that the share q of all values does not exceed, 0 if there are no values.
func (h *histogram) quantile(q float64) time.Duration {
	rank := min(uint64(q*float64(h.Total)), max(h.Total, 1)-1)
	var seen uint64
	for bucket, n := range h.Counts {
		if seen += n; seen > rank {
			return time.Duration(upperBound(bucket))
		}
	}
	return 0
}
