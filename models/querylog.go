package models

import (
	"context"
	"time"

	"gorm.io/gorm/logger"
)

// queryLogger tells onQuery of each statement. It writes nothing: errors are returned and logged once, by the caller,
// and statements hold values that do not belong in a log.
type queryLogger struct {
	onQuery func()
}

func (q queryLogger) LogMode(logger.LogLevel) logger.Interface { return q }
func (q queryLogger) Info(context.Context, string, ...any)     {}
func (q queryLogger) Warn(context.Context, string, ...any)     {}
func (q queryLogger) Error(context.Context, string, ...any)    {}
func (q queryLogger) Trace(context.Context, time.Time, func() (string, int64), error) {
	if q.onQuery != nil {
		q.onQuery()
	}
}
