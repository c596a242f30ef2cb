package models

import (
	"context"
	"time"
)

// UsagePoint counts the admitted requests of a key in a slot of time.
type UsagePoint struct {
	Minute   int64 // since 1970, in which the slot begins
	Requests int64
}

// KeyUsage is what a key was admitted so far: what the gate's meters start from.
type KeyUsage struct {
	Total  int64        // ever
	Points []UsagePoint // of the last 30 days, oldest first
}

// KeyUsage counts every request of the key that was committed before the call.
func (s *Store) KeyUsage(ctx context.Context, keyID int64) (KeyUsage, error) {
	var used KeyUsage
	err := s.read.WithContext(ctx).Model(&RequestLog{}).
		Select("(id >> 21) / 60000 AS minute, COUNT(*) AS requests").
		Where("key_id = ? AND code = ? AND id >= ?", keyID, Valid, FirstRequestIDAt(s.Now().Add(-31*24*time.Hour))).Group("minute").Order("minute").Scan(&used.Points).Error
	if err == nil {
		err = s.read.WithContext(ctx).Model(&RequestLog{}).Where("key_id = ? AND code = ?", keyID, Valid).Count(&used.Total).Error
	}
	return used, err
}
