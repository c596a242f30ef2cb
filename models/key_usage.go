package models

import (
	"context"
	"time"
)

// UsagePoint counts the admitted requests of a key that came in a stretch of time.
type UsagePoint struct {
	Minute   int64 // since 1970: where the stretch starts
	Requests int64
}

// KeyUsage is what a key has used up so far: what the gate's meters start from.
type KeyUsage struct {
	Total  int64        // admitted requests ever
	Points []UsagePoint // of the last [UsageDays], oldest first
}

// UsageDays is how far back [KeyUsage.Points] reach: the longest window of a quota. The stretch that it begins in is whole.
const UsageDays = 30

// KeyUsage reads what a key has used. Every request that was stored before the call is in it.
func (s *Store) KeyUsage(ctx context.Context, keyID int64) (KeyUsage, error) {
	var u KeyUsage
	var points []UsagePoint
	err := s.read.WithContext(ctx).Raw("SELECT (id >> ?) / 60000 AS minute, COUNT(*) AS requests FROM request_logs WHERE key_id = ? AND code = ? GROUP BY 1 ORDER BY 1",
		requestIDTimeShift, keyID, Valid).Scan(&points).Error
	first := s.Now().Add(-UsageDays*24*time.Hour).Unix() / 60
	for _, p := range points {
		u.Total += p.Requests
		if p.Minute >= first {
			u.Points = append(u.Points, p)
		}
	}
	return u, err
}
