package models

import (
	"time"

	"github.com/claviger/claviger/models/requestlog"
)

// Quota is one of the four caps on a key's admitted requests: product.md, section 4.
type Quota int

const (
	QuotaDaily Quota = iota
	QuotaWeekly
	QuotaMonthly
	QuotaTotal
	QuotaCount int = iota
)

// QuotaWindow is a rolling window in which requests are counted by slots. A slot leaves the window as a whole, when
// its newest request could have left it. So no request leaves early, and none more than Slot late. Slot is at most
// 1/1440 of Length. The slots of a longer window are a multiple of those of a shorter one, so that counts can be
// merged into longer slots as they get older.
type QuotaWindow struct {
	Length, Slot time.Duration
}

// QuotaWindows are the windows of the daily, weekly and monthly quota. The total quota has none.
var QuotaWindows = [3]QuotaWindow{
	QuotaDaily:   {24 * time.Hour, time.Minute},
	QuotaWeekly:  {7 * 24 * time.Hour, 6 * time.Minute},
	QuotaMonthly: {30 * 24 * time.Hour, 30 * time.Minute},
}

var quotaNames = [QuotaCount]string{"daily", "weekly", "monthly", "total"}

func (q Quota) String() string { return quotaNames[q] }

// Code returns the code of a request that the quota rejects.
func (q Quota) Code() requestlog.Code {
	return [QuotaCount]requestlog.Code{
		QuotaDaily:   requestlog.CodeQuotaDaily,
		QuotaWeekly:  requestlog.CodeQuotaWeekly,
		QuotaMonthly: requestlog.CodeQuotaMonthly,
		QuotaTotal:   requestlog.CodeQuotaTotal,
	}[q]
}

// Caps are the quotas of a key by [Quota]; 0 is no cap.
type Caps [QuotaCount]int64

// Any reports whether the key has a quota.
func (c *Caps) Any() bool { return *c != Caps{} }

// Caps returns the quotas by [Quota].
func (q *Quotas) Caps() (c Caps) {
	for i, n := range [QuotaCount]*int64{
		QuotaDaily:   q.Daily,
		QuotaWeekly:  q.Weekly,
		QuotaMonthly: q.Monthly,
		QuotaTotal:   q.Total,
	} {
		if n != nil {
			c[i] = *n
		}
	}
	return c
}
