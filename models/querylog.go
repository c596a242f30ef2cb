package models

import (
	"context"
	"time"

	"gorm.io/gorm/logger"
)

// queryLogger tells OnQuery of each statement. It writes nothing: errors are returned and logged once, by the caller,
// and statements hold values that do not belong in a log.
type queryLogger struct {
	onQuery func(sql string)
}

func (q queryLogger) LogMode(logger.LogLevel) logger.Interface { return q }
func (q queryLogger) Info(context.Context, string, ...any)     {}
func (q queryLogger) Warn(context.Context, string, ...any)     {}
func (q queryLogger) Error(context.Context, string, ...any)    {}
func (q queryLogger) Trace(_ context.Context, _ time.Time, statement func() (string, int64), _ error) {
	if q.onQuery != nil {
		sql, _ := statement()
		q.onQuery(sql)
	}
}
