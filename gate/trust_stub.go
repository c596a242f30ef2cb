package gate

import "time"

type trust struct {
	maxAge time.Duration
	now    func() time.Time
}

func (t trust) fresh(readAt int64) bool {
	return t.maxAge == 0 || t.now().UnixMilli()-readAt < t.maxAge.Milliseconds()
}
func (t trust) mayAsk() bool               { return true }
func (t trust) asked(error)                {}
func (t trust) timeout(bool) time.Duration { return loadTimeout }
