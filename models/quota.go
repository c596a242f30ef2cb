package models

import (
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// Quota is one of the four caps on what a key may be admitted: product.md, section 4.
type Quota int

const (
	QuotaDaily Quota = iota
	QuotaWeekly
	QuotaMonthly
	QuotaTotal
	QuotaCount int = iota
)

// QuotaWindow is a rolling window. A request leaves it at most Slot late, and never early: it is counted with its slot,
// and the slot leaves as a whole. Slot is at most 1/1440 of Length, and each slot is a multiple of the one before it,
// so that counts can be folded as they age.
type QuotaWindow struct {
	Length, Slot time.Duration
}

// QuotaWindows are those of the daily, weekly and monthly quota. The total never frees anything.
var QuotaWindows = [3]QuotaWindow{
	QuotaDaily:   {24 * time.Hour, time.Minute},
	QuotaWeekly:  {7 * 24 * time.Hour, 6 * time.Minute},
	QuotaMonthly: {30 * 24 * time.Hour, 30 * time.Minute},
}

var quotaNames = [QuotaCount]string{"daily", "weekly", "monthly", "total"}

func (q Quota) String() string { return quotaNames[q] }

// Code is what a request is rejected with that would go over the quota.
func (q Quota) Code() requestlog.Code {
	return [QuotaCount]requestlog.Code{requestlog.CodeQuotaDaily, requestlog.CodeQuotaWeekly, requestlog.CodeQuotaMonthly, requestlog.CodeQuotaTotal}[q]
}

// Caps are the quotas of a key by [Quota]; 0 is no cap.
type Caps [QuotaCount]int64

// Any tells whether there is a cap at all.
func (c *Caps) Any() bool { return *c != Caps{} }

// Caps of the key's quotas.
func (q *Quotas) Caps() (c Caps) {
	for i, n := range [QuotaCount]*int64{QuotaDaily: q.Daily, QuotaWeekly: q.Weekly, QuotaMonthly: q.Monthly, QuotaTotal: q.Total} {
		if n != nil {
			c[i] = *n
		}
	}
	return c
}
